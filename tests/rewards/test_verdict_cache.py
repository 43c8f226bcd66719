from __future__ import annotations

import pickle

import pytest

from rewards.verdict_cache import VerdictCache, is_deterministic
from sandbox import JudgeResult, Problem, Verdict
from sandbox import TestResult as OneTest

PROBLEM = Problem(id="p", tests=("assert f()",))


def result(verdict: Verdict, *tests: Verdict) -> JudgeResult:
    return JudgeResult(
        verdict=verdict,
        passed=0,
        total=1,
        tests=tuple(OneTest(verdict=item, message="", wall_s=0.0) for item in tests),
        message="",
        cpu_s=0.0,
        wall_s=0.0,
        peak_memory_bytes=0,
        enforcement="userns",
        tamper_proof=True,
    )


def test_time_memory_and_the_host_make_a_verdict_one_of_chance() -> None:
    kept = {verdict.value for verdict in Verdict if is_deterministic(result(verdict))}
    assert kept == {"AC", "WA", "RE", "CE", "OLE", "NO_CODE"}


@pytest.mark.parametrize("chance", [Verdict.TLE, Verdict.MLE, Verdict.IE])
def test_so_does_any_test_under_a_stronger_verdict(chance: Verdict) -> None:
    assert not is_deterministic(result(Verdict.CE, Verdict.CE, chance))
    assert is_deterministic(result(Verdict.CE, Verdict.CE, Verdict.SKIPPED))


def test_a_copy_for_another_process_begins_empty_and_is_as_large() -> None:
    cache = VerdictCache(1)
    key, other = cache.key(PROBLEM, "a"), cache.key(PROBLEM, "b")
    assert cache.add(key, result(Verdict.AC))
    copy = pickle.loads(pickle.dumps(cache))
    assert copy.get(key) is None
    for its in (key, other):
        copy.add(its, result(Verdict.WA))
    assert (copy.get(key), copy.get(other)) == (None, result(Verdict.WA))


def test_no_code_and_no_text_at_all_are_not_the_same() -> None:
    cache = VerdictCache(1)
    assert cache.key(PROBLEM, None) != cache.key(PROBLEM, "")
    assert cache.key(PROBLEM, "\ud800") == cache.key(PROBLEM, "\ud800")


def test_a_negative_size_is_an_error() -> None:
    with pytest.raises(ValueError, match="cache_size is -1"):
        VerdictCache(-1)
