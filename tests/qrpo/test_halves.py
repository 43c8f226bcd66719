from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from qrpo.halves import split_halves
from sandbox import Problem

DIFFICULTIES = st.sampled_from(["Easy", "Medium", "Hard", None])
PROBLEMS = st.dictionaries(st.text(min_size=1, max_size=6), DIFFICULTIES, min_size=2, max_size=40)


def problem(name: str, difficulty: str | None) -> Problem:
    return Problem(id=name, tests=("assert f()",), meta={} if difficulty is None else {"difficulty": difficulty})


@given(PROBLEMS)
def test_halves_are_disjoint_whole_and_of_like_size_in_each_difficulty(difficulties: dict[str, str | None]) -> None:
    halves = split_halves([problem(*item) for item in difficulties.items()])
    assert halves is not None
    both = [*halves.selection, *halves.reporting]
    assert len(both) == len(set(both))
    assert set(both) == set(difficulties)
    assert 0 <= len(halves.reporting) - len(halves.selection) <= 1
    left, right = (Counter(difficulties[name] for name in half) for half in (halves.selection, halves.reporting))
    assert all(abs(left[level] - right[level]) <= 1 for level in difficulties.values())


@given(PROBLEMS, st.randoms())
def test_the_order_of_the_problems_does_not_matter(difficulties: dict[str, str | None], random: object) -> None:
    problems = [problem(*item) for item in difficulties.items()]
    shuffled = list(problems)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert split_halves(shuffled) == split_halves(problems)


def test_the_halves_are_these_for_ever() -> None:
    """Another division would make runs of before and after incomparable."""
    halves = split_halves([problem(f"p{number}", None) for number in range(6)])
    assert halves is not None
    assert (sorted(halves.selection), sorted(halves.reporting)) == (["p0", "p4", "p5"], ["p1", "p2", "p3"])


def test_fewer_than_two_problems_have_no_halves() -> None:
    assert split_halves([]) is None
    assert split_halves([problem("p", "Easy")]) is None
