"""Problems, code extraction, rewards from execution, pass@k."""

from rewards.builtin import load_builtin
from rewards.entry import Entry
from rewards.execution import ExecutionReward, Scored
from rewards.loading import load_problems
from rewards.pass_at_k import pass_at_k
from sandbox.extraction import extract_code
from sandbox.problem import Problem

__all__ = [
    "Entry",
    "ExecutionReward",
    "Problem",
    "Scored",
    "extract_code",
    "load_builtin",
    "load_problems",
    "pass_at_k",
]
