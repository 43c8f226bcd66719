"""Samples judged into a file that an interrupted evaluation continues."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rewards.batch import Judge
from sandbox.judging_file import JudgingFile, digest_of
from sandbox.messages import definition
from sandbox.records import ResultRecord, Submission
from sandbox.verdict import Verdict


def digest_of_samples(samples: Sequence[Submission]) -> str:
    """Of all that their results depend on."""
    judged_by: dict[int, str] = {}
    parts: list[str] = []
    for problem, code, name in samples:
        if id(problem) not in judged_by:
            judged_by[id(problem)] = f"{problem.id!r} {definition(problem)[0]} {problem.language} {problem.limits}"
        parts += [judged_by[id(problem)], repr(name), repr(code)]  # `repr`, as a text may hold what UTF-8 cannot
    return digest_of(*parts)


def judge_samples(
    judge: Judge, samples: Sequence[Submission], file: JudgingFile, progress: Callable[[int], None]
) -> list[ResultRecord]:
    """Judges what the file lacks.

    A failure of the host is not kept in the file, so that the same command tries that sample again.

    Args:
        judge: what judges.
        samples: of which the file is.
        file: receives each result.
        progress: called after each, with the number of failures of the host so far.

    Returns:
        One for each sample, in order, of verdict IE where the host failed.

    Raises:
        ProblemError: a problem is of no use.
    """
    failed: dict[int, ResultRecord] = {}
    rest = [place for place in range(len(samples)) if place not in file.done]
    asked = ((samples[place].problem, samples[place].code) for place in rest)
    for index, result in judge.judge_as_completed(asked, on_host_failure="return"):
        place = rest[index]
        record = ResultRecord.from_result(samples[place], result)
        if result.verdict is Verdict.IE:
            failed[place] = record
        else:
            file.add(place, record)
        progress(len(failed))
    return [file.done[place] if place in file.done else failed[place] for place in range(len(samples))]
