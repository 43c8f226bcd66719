"""What each algorithm trains on, of the same scored completions."""

import dataclasses
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


def test_pairs_and_completions_are_of_the_same_rows() -> None:
    """With ties left out of both, and the references of the completions as asked for."""
    data = DataConfig(pairing="disjoint", pairs_per_prompt=3, references="leave_one_out", num_refs=2)
    rollouts = [scored(0.5, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0)]
    pairs, *_ = training_rows(rollouts, data, config("dpo"))
    rows, *_ = training_rows(rollouts, data, config("qrpo"))
    assert [(pair["chosen_ids"], pair["rejected_ids"]) for pair in pairs] == [  # type: ignore[typeddict-item]
        ([7, 0], [7, 1]),
        ([7, 5], [7, 4]),
    ]
    assert [row["completion_ids"] for row in rows] == [[7, 0], [7, 1], [7, 5], [7, 4]]  # type: ignore[typeddict-item]
    assert [row["ref_rewards"] for row in rows] == [  # type: ignore[typeddict-item]
        [0.0, 1.0],
        [0.5, 1.0],
        [0.5, 0.0],
        [0.5, 0.0],
    ]


def test_tied_pairs_are_kept_if_asked_for() -> None:
    rollouts = [scored(1.0, 1.0, 0.0, 1.0)]
    for algorithm, count in (("dpo", 2), ("qrpo", 4)):
        rows, *_ = training_rows(rollouts, DataConfig(pairing="disjoint", keep_ties=True), config(algorithm))
        assert len(rows) == count


def test_only_some_completions_of_a_prompt_are_trained_on_if_asked_for() -> None:
    rows, *_ = training_rows([scored(0.5, 0.0, 1.0)], DataConfig(completions_per_prompt=1), config("qrpo"))
    assert [row["completion_ids"] for row in rows] == [[7, 2]]  # type: ignore[typeddict-item]


def test_coins_of_the_random_selector_are_those_of_the_seed() -> None:
    data = DataConfig(pairing="first_two", selector="random")
    rollouts = [scored(0.0, 1.0).model_copy(update={"problem_id": str(number)}) for number in range(40)]
    drawn = []
    for seed in (0, 1):
        rows, *_ = training_rows(rollouts, data, dataclasses.replace(config("qrpo"), seed=seed))
        drawn.append([row["reward"] for row in rows])
    assert drawn[0] != drawn[1]


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
