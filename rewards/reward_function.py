"""What TRL hands to a reward function, and how it knows an asynchronous one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, ParamSpec

Message = Mapping[str, object]
"""A turn of a conversation: `role`, and `content` as text or as a list of blocks of which some are text."""
Completions = Sequence[str] | Sequence[Sequence[Message]]
LogMetric = Callable[[str, float], None]
LogExtra = Callable[[str, list[str | None]], None]
P = ParamSpec("P")


class AsyncReward(Generic[P]):
    """An asynchronous reward function with a name of its own, by which TRL names its metrics."""

    def __init__(self, function: Callable[P, Awaitable[list[float | None]]], name: str) -> None:
        self._function = function
        self.__name__ = name

    # TRL tells by this `async def` that it must await, and runs such functions side by side.
    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> list[float | None]:
        """Rewards of the completions."""
        return await self._function(*args, **kwargs)


def text_of(completion: str | Sequence[Message]) -> str:
    """What the model wrote: the text itself, or the content of the conversation's last turn of the assistant."""
    if isinstance(completion, str):
        return completion
    for message in reversed(completion):
        if message.get("role") == "assistant":
            content = message.get("content")
            if isinstance(content, list):
                return "".join(str(block.get("text", "")) for block in content if block.get("type") == "text")
            return str(content or "")
    return ""
