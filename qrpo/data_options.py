"""Options that say which problems, and which of their completions."""

from __future__ import annotations

from dataclasses import dataclass, field

from qrpo.data import REFERENCES
from qrpo.pairs import PAIRINGS, SELECTORS


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Which problems."""

    train_problems: str = field(
        default="builtin",
        metadata={"help": "Problems to train on: builtin, a file of any format that rewards loads, or a hub id."},
    )
    train_split: str | None = field(
        default=None, metadata={"help": "Split of a hub data set; builtin always gives its training topics."}
    )
    heldout_problems: str | None = field(
        default="builtin",
        metadata={"help": "Problems that only evaluation sees, given like train_problems. null: none."},
    )
    heldout_split: str | None = field(
        default=None, metadata={"help": "As train_split; builtin always gives its held-out topics."}
    )
    max_train_problems: int | None = field(default=None, metadata={"help": "Use only the first so many. null: all."})
    max_heldout_problems: int | None = field(default=None, metadata={"help": "The same for held-out problems."})
    completions_per_prompt: int | None = field(
        default=None,
        metadata={
            "help": "Completions of each training problem that are trained on: the best, the worst, the second best, "
            "and so on; with disjoint references the first. null: train on all."
        },
    )
    references: str = field(
        default="all",
        metadata={
            "help": "Whose rewards a completion is compared with: those of all completions of its prompt, of all but "
            "itself, or of those that are not trained on.",
            "choices": list(REFERENCES),
        },
    )
    num_refs: int | None = field(default=None, metadata={"help": "Compare with the first so many only. null: all."})
    pairing: str | None = field(
        default=None,
        metadata={
            "help": "Which completions make pairs: the best and the worst, the first two, or 0 and 1, 2 and 3, and so "
            "on. null: best_worst for algorithms on pairs; qrpo then trains on completions without pairs.",
            "choices": list(PAIRINGS),
        },
    )
    pairs_per_prompt: int | None = field(default=None, metadata={"help": "The first so many pairs. null: all."})
    keep_ties: bool = field(
        default=False, metadata={"help": "Keep pairs with equal rewards, the earlier as the better one, as the paper."}
    )
    selector: str = field(
        default="both",
        metadata={
            "help": "What qrpo and sft train on of each pair, where there is a pairing.",
            "choices": list(SELECTORS),
        },
    )

    def __post_init__(self) -> None:
        """Checks the numbers."""
        at_least(1, self, "max_train_problems", "max_heldout_problems", "completions_per_prompt")
        at_least(1, self, "num_refs", "pairs_per_prompt")
        for name, known in (("references", REFERENCES), ("selector", SELECTORS), ("pairing", (None, *PAIRINGS))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be one of {known}")

    def choice(self) -> dict[str, object]:
        """The options that say which of the scored completions are trained on, and how."""
        names = (
            "completions_per_prompt",
            "references",
            "num_refs",
            "pairing",
            "pairs_per_prompt",
            "keep_ties",
            "selector",
        )
        return {name: getattr(self, name) for name in names}


def at_least(low: int, config: object, *names: str) -> None:
    """Raises ValueError where an option is too small."""
    for name in names:
        value = getattr(config, name)
        if value is not None and value < low:
            raise ValueError(f"{name} is {value}; it must be at least {low}")
