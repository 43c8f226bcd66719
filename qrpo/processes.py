"""The processes of one command, as `accelerate launch` and torchrun start them: the first one leads.

It alone writes, and speaks; the others do their part of the sums, and end as it ends.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import NoReturn, TypeVar

from qrpo.errors import ConfigError, PipelineError, ToldError

T = TypeVar("T")


def count() -> int:
    """How many there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def index() -> int:
    """Which one this is, from 0."""
    return int(os.environ.get("RANK", "0")) if count() > 1 else 0


def is_main() -> bool:
    """Whether this one leads."""
    return index() == 0


def refuse_several(what: str) -> None:
    """Refuses to go on in more than one process.

    Args:
        what: is done in one.

    Raises:
        ConfigError: there are several.
    """
    if count() > 1:
        raise ConfigError(
            f"{what} runs in one process, and {count()} were started; only --stage train is for `accelerate launch`. "
            "Run the other stages before and after it, with python -m qrpo.train_code"
        )


@contextmanager
def entered(lead: Callable[[], AbstractContextManager[T]], follow: Callable[[], T]) -> Iterator[T]:
    """Enters something in all processes: the first makes it, the others wait until it is made and look at it.

    Args:
        lead: called in the first process.
        follow: called in the others, afterwards.

    Raises:
        ToldError: in the others, where the first could not enter.
    """
    if count() == 1:
        with lead() as made:
            yield made
        return
    from accelerate.utils import broadcast_object_list

    with ExitStack() as block:
        if is_main():
            try:
                made = block.enter_context(lead())
            except (PipelineError, OSError) as error:
                broadcast_object_list([str(error)])
                raise
            broadcast_object_list([None])
        else:
            [told] = broadcast_object_list([None])
            if told is not None:
                raise ToldError(told)
            made = follow()
        yield made


def in_any(here: bool) -> bool:
    """Whether something is so in one process at least; to be asked in all of them."""
    if count() == 1:
        return here
    import torch
    from accelerate import PartialState

    found = torch.tensor(int(here), device=PartialState().device)
    torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
    return bool(found.item())


def leave(status: int) -> NoReturn:
    """Ends the process."""
    if count() == 1:
        sys.exit(status)
    import torch

    if status == 0 and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: a thread of the process group may still drop its last tensors, for which it needs the interpreter;
    # where that ends at the same moment, torch aborts (seen in one run of ten, with the group destroyed before).
    os._exit(status)
