"""What each algorithm trains on, of the same scored completions."""

from collections.abc import Iterator

import pytest

from qrpo.data_options import DataConfig
from qrpo.errors import PipelineError
from qrpo.records import Completion, Message, ScoredRollout
from qrpo.trainer_config import QRPOConfig
from qrpo.training_rows import training_rows

# TRL 1.16 calls by their old names what transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")


def scored(*rewards: float) -> ScoredRollout:
    completions = tuple(
        Completion(text="", token_ids=(7, index), finish_reason="stop") for index in range(len(rewards))
    )
    return ScoredRollout(
        problem_id="p",
        prompt=(Message(role="user", content="Add."),),
        prompt_ids=(5,),
        completions=completions,
        rewards=rewards,
        verdicts=tuple("AC" if reward == 1.0 else "WA" for reward in rewards),
    )


def config(algorithm: str) -> QRPOConfig:
    return QRPOConfig(output_dir="x", use_cpu=True, bf16=False, algorithm=algorithm)


def test_sft_trains_on_completions_that_pass_and_on_no_others() -> None:
    rows, *_ = training_rows([scored(0.0, 1.0, 0.5, 1.0)], DataConfig(), config("sft"))
    assert [row["completion_ids"] for row in rows] == [[7, 1], [7, 3]]  # type: ignore[typeddict-item]
    with pytest.raises(PipelineError, match="nothing to fine-tune on"):
        training_rows([scored(0.0, 0.5)], DataConfig(), config("sft"))


@pytest.mark.parametrize("algorithm", ["dpo", "rebel", "simpo"])
def test_algorithms_on_pairs_take_the_best_and_the_worst_unless_told_otherwise(algorithm: str) -> None:
    [row], *_ = training_rows([scored(0.5, 0.0, 1.0)], DataConfig(), config(algorithm))
    assert (row["chosen_ids"], row["rejected_ids"]) == ([7, 2], [7, 1])  # type: ignore[typeddict-item]


def test_qrpo_trains_on_the_completions_of_pairs_where_there_is_a_pairing() -> None:
    data = DataConfig(pairing="disjoint", selector="chosen")
    rows, *_ = training_rows([scored(0.5, 0.0, 0.0, 1.0)], data, config("qrpo"))
    assert [row["completion_ids"] for row in rows] == [[7, 0], [7, 3]]  # type: ignore[typeddict-item]


def test_prompts_with_different_rewards_are_named_though_completions_are_read_once() -> None:
    rollouts = [scored(0.0, 1.0), scored(0.5, 0.5).model_copy(update={"problem_id": "tied"})]
    reads = []

    class Once(list[ScoredRollout]):
        def __iter__(self) -> Iterator[ScoredRollout]:
            reads.append(1)
            return super().__iter__()

    assert training_rows(Once(rollouts), DataConfig(), config("qrpo")).varied == {rollouts[0].problem_id}
    assert len(reads) == 1
