"""Problems, code extraction, rewards from execution, pass@k."""

from rewards.builtin import load_builtin
from rewards.entry import Entry
from rewards.execution import ExecutionReward, Scored
from rewards.format_reward import FormatReward
from rewards.loading import load_problems
from rewards.pass_at_k import pass_at_k
from rewards.shapes import all_or_nothing, compiles, fraction, mixed, threshold, weighted
from sandbox.extraction import extract_code
from sandbox.problem import Problem

__all__ = [
    "Entry",
    "ExecutionReward",
    "FormatReward",
    "Problem",
    "Scored",
    "all_or_nothing",
    "compiles",
    "extract_code",
    "fraction",
    "load_builtin",
    "load_problems",
    "mixed",
    "pass_at_k",
    "threshold",
    "weighted",
]
