"""Between text and a model's tokens, without the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from transformers import PreTrainedTokenizerBase

from qrpo.errors import ModelError
from qrpo.records import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """A tokenizer, and which of its tokens end a completion."""

    tokenizer: PreTrainedTokenizerBase
    end_ids: frozenset[int]

    def encode(self, prompt: Sequence[Message]) -> list[int]:
        """Token ids of a conversation through the chat template, up to where the model goes on.

        That is where its answer begins, or after a last message of the assistant, which begins the answer.

        Raises:
            ModelError: the tokenizer has no chat template.
        """
        if self.tokenizer.chat_template is None:
            raise ModelError(f"the tokenizer of {self.tokenizer.name_or_path} has no chat template; use a chat model")
        begun = prompt[-1].role == "assistant"
        messages = [message.model_dump() for message in (prompt[:-1] if begun else prompt)]
        ids = cast(
            "list[int]", self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        )
        if begun:
            ids += self.tokenizer.encode(prompt[-1].content, add_special_tokens=False)
        return ids

    def continue_answer(self, text: str) -> list[int]:
        """Token ids of the rest of an answer, and the one with which the model ends its turn."""
        return [*self.tokenizer.encode(text, add_special_tokens=False), self._end_of_turn()]

    def _end_of_turn(self) -> int:
        """The end token that the chat template puts behind an answer; where it puts none, EOS, or any that ends one."""
        asked = [{"role": "user", "content": "."}]
        answered = [*asked, {"role": "assistant", "content": "."}]
        before, whole = (
            cast("list[int]", self.tokenizer.apply_chat_template(messages, return_dict=False))
            for messages in (asked, answered)
        )
        eos = self.tokenizer.eos_token_id
        last_resort = eos if isinstance(eos, int) else min(self.end_ids)
        return next((token for token in reversed(whole[len(before) :]) if token in self.end_ids), last_resort)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of tokens, without the special ones."""
        text = self.tokenizer.decode(list(token_ids), skip_special_tokens=True)
        assert isinstance(text, str)
        return text
