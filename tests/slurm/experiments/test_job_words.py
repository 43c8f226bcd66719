"""Why jobs wait, in words."""

import pytest

from slurm.experiments.job_words import RUNNING, never_starts, why


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        ("PENDING", "JobHeldUser", "scontrol release 7_3"),
        ("PENDING", "BeginTime", "queued again a moment ago"),
        ("PENDING", "launch failed requeued held", "its start has failed"),
        ("PENDING", "(ReqNodeNotAvail, UnavailableNodes:node7)", "down or reserved"),
        ("PENDING", "QOSMaxGRESPerUser", "QOSMaxGRESPerUser"),
        ("SPECIAL_EXIT", "", "held"),
        ("REQUEUE_HOLD", "", "scontrol release 7_3"),
    ],
)
def test_why_a_job_waits_is_said(state: str, reason: str, words: str) -> None:
    assert words in why(state, reason, "7_3")


@pytest.mark.parametrize("state", sorted(RUNNING - {"RUNNING"}))
def test_a_job_that_has_its_nodes_and_does_something_else_says_what(state: str) -> None:
    assert why(state, "", "7")


def test_of_a_job_that_runs_there_is_nothing_to_say() -> None:
    assert why("RUNNING", "None", "7") == ""


@pytest.mark.parametrize(
    ("reason", "is_so"),
    [("DependencyNeverSatisfied", True), ("(DependencyNeverSatisfied)", True), ("Dependency", False)],
)
def test_a_job_whose_needs_have_failed_never_starts(reason: str, is_so: bool) -> None:
    assert never_starts(reason) is is_so
