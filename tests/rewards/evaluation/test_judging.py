from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Unpack

import pytest

from rewards.evaluation.judging import digest_of_samples, judge_samples
from sandbox import JudgeResult, Limits, Problem, Sandbox, Verdict
from sandbox.judging_file import JudgingFile
from sandbox.messages import host_failed_result
from sandbox.options import JudgeOptions
from sandbox.records import Submission

PROBLEM = Problem(id="one", tests=("assert one() == 1",))
SAMPLES = [Submission(PROBLEM, f"def one(): return {value}", None) for value in (1, 2, 1)]


class FailsAt:
    """A sandbox on a host that fails some programs."""

    def __init__(self, box: Sandbox, *places: int) -> None:
        self.box = box
        self.places = places
        self.asked: list[str | None] = []

    def judge_as_completed(
        self, submissions: Iterable[tuple[Problem, str | None]], /, **options: Unpack[JudgeOptions]
    ) -> Iterator[tuple[int, JudgeResult]]:
        assert options == {"on_host_failure": "return"}
        listed = list(submissions)
        self.asked += [code for _, code in listed]
        for place, result in self.box.judge_as_completed(listed, **options):
            yield place, host_failed_result(PROBLEM, "userns", "no memory") if place in self.places else result


def test_what_the_host_failed_is_judged_again_by_the_next_evaluation_and_nothing_else_is(
    box: Sandbox, tmp_path: Path
) -> None:
    judge = FailsAt(box, 1)
    digest = digest_of_samples(SAMPLES)
    failures: list[int] = []
    with JudgingFile(tmp_path / "r", inputs=digest, total=3) as file:
        found = judge_samples(judge, SAMPLES, file, failures.append)
        with pytest.raises(ValueError, match="1 of 3 results are missing"):
            file.finish()
    assert [result.verdict for result in found] == [Verdict.AC, Verdict.IE, Verdict.AC]
    assert max(failures) == 1
    judge = FailsAt(box)
    with JudgingFile(tmp_path / "r", inputs=digest, total=3) as file:
        found = judge_samples(judge, SAMPLES, file, failures.append)
        file.finish()
    assert [result.verdict for result in found] == [Verdict.AC, Verdict.WA, Verdict.AC]
    assert judge.asked == [SAMPLES[1].code]


@pytest.mark.parametrize(
    "other",
    [
        Submission(PROBLEM, "def one(): return 3", None),
        Submission(PROBLEM, None, None),
        Submission(PROBLEM, SAMPLES[0].code, "a"),
        Submission(Problem(id="two", tests=PROBLEM.tests), SAMPLES[0].code, None),
        Submission(Problem(id="one", tests=("assert one() == 2",)), SAMPLES[0].code, None),
        Submission(Problem(id="one", tests=PROBLEM.tests, limits=Limits(cpu_s=1)), SAMPLES[0].code, None),
        Submission(PROBLEM, "\ud800", None),
    ],
)
def test_other_samples_have_another_digest(other: Submission) -> None:
    assert digest_of_samples([other]) != digest_of_samples(SAMPLES[:1])
    assert digest_of_samples([other]) == digest_of_samples([other])
