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
        default=None,
        metadata={"help": "Split of a hub data set; null: none, as for a file. builtin gives its training topics."},
    )
    train_revision: str | None = field(
        default=None, metadata={"help": "Commit, tag or branch of a hub data set. null: the newest."}
    )
    heldout_problems: str | None = field(
        default="builtin",
        metadata={"help": "Problems that only evaluation sees, given like train_problems. null: none."},
    )
    heldout_split: str | None = field(
        default=None, metadata={"help": "As train_split; builtin always gives its held-out topics."}
    )
    heldout_revision: str | None = field(default=None, metadata={"help": "As train_revision."})
    min_tests: int | None = field(
        default=None, metadata={"help": "Leave out problems with fewer tests, on both sides. null: none."}
    )
    max_tests: int | None = field(
        default=None, metadata={"help": "Judge by the first so many tests of a problem. null: by all."}
    )
    show_prelude: bool = field(
        default=False, metadata={"help": "Show the imports and helper classes that run ahead of a program in prompts."}
    )
    drop_shown_tests: bool = field(
        default=False,
        metadata={
            "help": "Do not judge by tests that the prompt shows as examples, and leave out problems without others: "
            "a program can copy those answers. `python -m qrpo.contamination` tells how many there are."
        },
    )
    drop_duplicates: bool = field(
        default=False, metadata={"help": "Do not train on problems whose prompt is, nearly, that of a held-out one."}
    )
    duplicate_overlap: float = field(
        default=0.5, metadata={"help": "Share of common n-grams from which two prompts are the same, in (0, 1]."}
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
            "help": "Which completions make pairs: the best and the worst; ranked: these, the second best and the "
            "second worst, and so on; the first two; or disjoint: 0 and 1, 2 and 3, and so on. null: best_worst for "
            "algorithms on pairs; qrpo then trains on completions without pairs.",
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
        at_least(1, self, "num_refs", "pairs_per_prompt", "min_tests", "max_tests")
        if not 0 < self.duplicate_overlap <= 1:
            raise ValueError(f"duplicate_overlap is {self.duplicate_overlap}; it must be in (0, 1]")
        for name, known in (("references", REFERENCES), ("selector", SELECTORS), ("pairing", (None, *PAIRINGS))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be one of {known}")

    def preparation(self) -> dict[str, object]:
        """The options that change problems, or say which are left out."""
        names = ("min_tests", "max_tests", "show_prelude", "drop_shown_tests", "drop_duplicates", "duplicate_overlap")
        return {name: getattr(self, name) for name in names}

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
