"""What a model card says of a model trained by `QRPOTrainer`: whose method it was, and with which options."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from qrpo.trainer_config import QRPOConfig


class Method(NamedTuple):
    """A way of training, and its paper."""

    name: str
    title: str | None = None
    arxiv: str | None = None
    citation: str | None = None
    """A BibTeX entry."""

    def paper(self) -> dict[str, str]:
        """As TRL's trainers hold it; nothing where there is none."""
        known = {"title": self.title, "id": self.arxiv, "citation": self.citation}
        return {name: value for name, value in known.items() if value is not None}


def _method(name: str, key: str, title: str, authors: str, arxiv: str) -> Method:
    fields = {"title": f"{{{title}}}", "author": authors, "year": f"20{arxiv[:2]}", "eprint": f"arXiv:{arxiv}"}
    lines = "".join(f"    {field:6} = {{{value}}},\n" for field, value in fields.items())
    return Method(name, title, arxiv, f"@article{{{key},\n{lines}}}")


METHODS = {
    "qrpo": _method(
        "QRPO",
        "matrenok2025qrpo",
        "Quantile Reward Policy Optimization: Alignment with Pointwise Regression and Exact Partition Functions",
        "Simon Matrenok and Skander Moalla and Caglar Gulcehre",
        "2507.08068",
    ),
    "dpo": _method(
        "DPO",
        "rafailov2023dpo",
        "Direct Preference Optimization: Your Language Model is Secretly a Reward Model",
        "Rafael Rafailov and Archit Sharma and Eric Mitchell and Stefano Ermon and Christopher D. Manning and "
        "Chelsea Finn",
        "2305.18290",
    ),
    "rebel": _method(
        "REBEL",
        "gao2024rebel",
        "REBEL: Reinforcement Learning via Regressing Relative Rewards",
        "Zhaolin Gao and others",
        "2404.16767",
    ),
    "simpo": _method(
        "SimPO",
        "meng2024simpo",
        "SimPO: Simple Preference Optimization with a Reference-Free Reward",
        "Yu Meng and Mengzhou Xia and Danqi Chen",
        "2405.14734",
    ),
    "sft": Method("supervised fine-tuning on completions that pass"),
}
"""By `QRPOConfig.algorithm`."""

_TRAINING = ("learning_rate", "lr_scheduler_type", "warmup_steps", "max_grad_norm", "bf16", "seed")
_PLACES = ("ref_logps_dir",)
"""Options that name a folder of the machine."""


def with_options(card: str, args: QRPOConfig, *, steps: int, batch_size: int) -> str:
    """A card of TRL's with a table of options ahead of its versions.

    Args:
        card: Markdown.
        args: those of its own that differ from their defaults are told, and what decides the steps.
        steps: made so far.
        batch_size: rows in a step, over all processes.
    """
    rows = {"steps": steps, "rows per step": batch_size, **_own(args)}
    rows |= {name: getattr(args, name) for name in _TRAINING}
    table = "".join(f"| {name} | {getattr(value, 'value', value)} |\n" for name, value in rows.items())
    # A model loaded from a folder has no name on the hub, which TRL's template takes for granted.
    card = card.replace("a fine-tuned version of [None](https://huggingface.co/None)", "a fine-tuned model")
    before, heading, after = card.partition("### Framework versions")
    return f"{before}### Options\n\n| option | value |\n| --- | --- |\n{table}\n{heading}{after}"


def _own(args: QRPOConfig) -> dict[str, object]:
    """Options that TRL does not have; `beta` is also one of the sort."""
    own = [item for item in dataclasses.fields(QRPOConfig) if item.init and item.name in QRPOConfig.__annotations__]
    return {
        item.name: getattr(args, item.name)
        for item in own
        if item.name not in _PLACES and (item.name in {"algorithm", "beta"} or getattr(args, item.name) != item.default)
    }
