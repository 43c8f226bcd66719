from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Unpack

import pytest

from rewards.execution import ExecutionReward
from sandbox import JudgeResult, Problem, Sandbox
from sandbox.messages import host_failed_result
from sandbox.options import JudgeOptions

pytest.importorskip("trl", reason="TRL comes with the extra `train`")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # the libraries' own, which change with their versions

ONE = Problem(id="one", tests=("assert one() == 1",))
# Each token is a whole program, so that even an untrained model writes right and wrong ones.
VOCABULARY = ["<pad>", "<eos>", "write", "\n```python\ndef one():\n    return 1\n```\n", "\n```python\none = 2\n```\n"]


def logged_by_a_grpo_step(reward: object, folder: Path) -> dict[str, float]:
    """What a trainer logs of one step on 8 completions."""
    import torch
    from datasets import Dataset
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(1)
    torch.manual_seed(0)
    words = Tokenizer(WordLevel({word: index for index, word in enumerate(VOCABULARY)}, unk_token="<pad>"))
    words.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")
    config = LlamaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )
    trainer = GRPOTrainer(
        model=LlamaForCausalLM(config),
        reward_funcs=reward,
        train_dataset=Dataset.from_list([{"prompt": "write", "problem_id": "one"}] * 8),
        processing_class=tokenizer,
        args=GRPOConfig(
            output_dir=str(folder),
            max_steps=1,
            per_device_train_batch_size=8,
            num_generations=8,
            max_completion_length=4,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            bf16=False,
            disable_tqdm=True,
            seed=0,
        ),
    )
    trainer.train()
    return trainer.state.log_history[0]


@pytest.mark.parametrize("kind", ["synchronous", "asynchronous"])
def test_a_grpo_step_trains_on_the_rewards(box: Sandbox, tmp_path: Path, kind: str) -> None:
    reward = ExecutionReward([ONE], sandbox=box)
    logged = logged_by_a_grpo_step(reward if kind == "synchronous" else reward.asynchronous, tmp_path)
    assert 0 < logged["rewards/execution_fraction/mean"] < 1
    assert logged["execution_fraction/AC"] == pytest.approx(logged["rewards/execution_fraction/mean"])
    assert logged["reward_std"] > 0
    assert logged["grad_norm"] > 0


def test_a_grpo_step_without_any_reward_goes_on_and_learns_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class FailingHost:
        def judge_as_completed(
            self, submissions: Iterable[tuple[Problem, str | None]], /, **options: Unpack[JudgeOptions]
        ) -> Iterator[tuple[int, JudgeResult]]:
            for place, (problem, _) in enumerate(submissions):
                yield place, host_failed_result(problem, "userns", "no memory left")

    logged = logged_by_a_grpo_step(ExecutionReward([ONE], sandbox=FailingHost()), tmp_path)
    assert logged["grad_norm"] == 0
    assert "8 of 8 completions have no reward, so that nothing can be learnt from this batch" in caplog.text
