"""The data set's own answers in place of completions, to fine-tune on: a `Generator` that samples nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qrpo.errors import PipelineError
from qrpo.generator import Prompt
from qrpo.records import Completion
from qrpo.sampling import SamplingOptions, replay
from qrpo.vocabulary import Vocabulary


class AnswersGenerator:
    """Gives each prompt its answer, in the tokens in which the model would have given it, ended and cut alike.

    Args:
        answers: by problem.
        vocabulary: of the model.
        options: say where a completion ends.
    """

    def __init__(self, answers: Mapping[str, str], vocabulary: Vocabulary, options: SamplingOptions) -> None:
        self._answers = answers
        self._vocabulary = vocabulary
        self._options = options

    def generate(self, prompts: Sequence[Prompt]) -> list[list[Completion]]:
        """See `Generator`.

        Raises:
            PipelineError: an answer does not begin as its prompt has begun it.
        """
        return [[self._completion(prompt)] for prompt in prompts]

    def _completion(self, prompt: Prompt) -> Completion:
        answer = self._answers[prompt.problem_id]
        if not answer.startswith(prompt.answer_start):
            raise PipelineError(
                f"problem {prompt.problem_id!r}: its answer begins with {answer[: len(prompt.answer_start)]!r}, and "
                f"the prompt has begun it with {prompt.answer_start!r}; change the solution or answer_start"
            )
        ids = self._vocabulary.continue_answer(answer.removeprefix(prompt.answer_start))
        found = replay(ids, prompt.answer_start, self._vocabulary, self._options)
        assert found is not None  # the last token ends it, if none did before
        return found
