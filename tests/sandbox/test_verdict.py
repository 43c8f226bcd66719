import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox import Verdict
from sandbox.verdict import strongest

ORDER = ["IE", "NO_CODE", "CE", "MLE", "TLE", "OLE", "RE", "WA", "SKIPPED", "AC"]


def test_the_verdicts_and_their_precedence() -> None:
    assert [verdict.value for verdict in Verdict] == ORDER


@pytest.mark.parametrize(("stronger", "weaker"), list(itertools.combinations(ORDER, 2)))
def test_of_two_the_stronger_wins_in_either_order(stronger: str, weaker: str) -> None:
    for pair in itertools.permutations([Verdict(stronger), Verdict(weaker)]):
        assert strongest(pair) is Verdict(stronger)


@given(st.lists(st.sampled_from(Verdict), min_size=1))
def test_a_submission_is_accepted_only_when_every_test_is(verdicts: list[Verdict]) -> None:
    assert (strongest(verdicts) is Verdict.AC) == (set(verdicts) == {Verdict.AC})
    assert strongest(verdicts) in verdicts


def test_no_test_is_no_evidence() -> None:
    with pytest.raises(ValueError, match=r"no test|empty"):
        strongest([])


def test_verdicts_are_their_own_text_in_json_and_print() -> None:
    assert f"{Verdict.TLE}" == Verdict.TLE == "TLE"
