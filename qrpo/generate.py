"""Stage 1: completions of the training prompts from the reference policy -> generate/completions.jsonl."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import cast

from qrpo.answers import AnswersGenerator
from qrpo.artifacts import Stage
from qrpo.config import PipelineConfig
from qrpo.display import Display
from qrpo.generator import Generator, Prompt
from qrpo.journal import write_records
from qrpo.local_models import local_model
from qrpo.models import load_policy, load_vocabulary, sampling_dtype
from qrpo.problems import load_answers, load_split
from qrpo.rollouts import RolloutPlan, TransformersGenerator, collect_rollouts
from qrpo.sampling import SamplingOptions, StopAfter
from qrpo.vocabulary import Vocabulary

_JOURNAL = "completions.part.jsonl"
_STREAM = "generate"


def generate(config: PipelineConfig, stage: Stage, display: Display) -> None:
    """Samples the reference completions that are missing, or the shard's; or takes the data set's answers.

    At temperature 1 and from the whole distribution: the quantile of a reward is uniform only under the policy that
    the loss has in its denominator.

    Raises:
        ConfigError: the generator is not installed, a problem has no answer, or there are more shards than batches.
        EngineError: vLLM failed.
    """
    if config.generate.generator == "vllm":
        from qrpo.vllm_generation import vllm_versions

        stage.add_versions(vllm_versions(_vllm_python(config)))
    name = local_model(
        config.model_name,
        config.paths.reference,
        revision=config.model.model_revision,
        temperature=config.generate.policy_temperature,
    )
    vocabulary = load_vocabulary(name, revision=config.model.model_revision)
    part = config.run.part
    plan = RolloutPlan(
        problems=tuple(load_split(config.data, "train")),
        completions=config.generate.num_completions,
        options=SamplingOptions(
            max_new_tokens=config.generate.max_new_tokens, stop_after=cast("StopAfter", config.generate.stop_after)
        ),
        seed=config.generate.sampling_seed,
        stream=_STREAM,
        batch_completions=config.generate.batch_completions,
        max_prompt_tokens=config.generate.max_prompt_tokens,
        shard=0 if part is None else part.index,
        num_shards=1 if part is None else part.count,
    )
    start, what = {
        "transformers": (_start_transformers, "reference completions"),
        "vllm": (_start_vllm, "reference completions"),
        "answers": (_start_answers, "answers of the data set"),
    }[config.generate.generator]
    journal = stage.path / _JOURNAL
    rollouts = collect_rollouts(
        vocabulary,
        lambda prompts: start(config, name, vocabulary, plan, prompts),
        plan,
        journal,
        display,
        what,
    )
    write_records(config.paths.completions, rollouts)
    stage.finish([config.paths.completions.name])
    sizes = [(len(item.token_ids), item.finish_reason) for rollout in rollouts for item in rollout.completions]
    journal.unlink()
    cut = sum(reason == "length" for _, reason in sizes)
    tokens = sum(count for count, _ in sizes)
    display.note(f"{tokens / len(sizes):.0f} tokens per completion; {cut / len(sizes):.0%} cut by the length limit")


def _start_transformers(
    config: PipelineConfig,
    name: str,
    vocabulary: Vocabulary,  # noqa: ARG001  # as `_start_vllm`
    plan: RolloutPlan,
    prompts: Sequence[Prompt],  # noqa: ARG001  # as above
) -> AbstractContextManager[Generator]:
    policy = load_policy(
        name,
        dtype=config.generate.sampling_dtype,
        revision=config.model.model_revision,
        attn_implementation=config.model.attn_implementation,
    )
    return nullcontext(TransformersGenerator(policy, plan))


def _start_answers(
    config: PipelineConfig,
    name: str,  # noqa: ARG001  # as `_start_vllm`
    vocabulary: Vocabulary,
    plan: RolloutPlan,
    prompts: Sequence[Prompt],  # noqa: ARG001  # as above
) -> AbstractContextManager[Generator]:
    return nullcontext(AnswersGenerator(load_answers(config.data), vocabulary, plan.options))


def _start_vllm(
    config: PipelineConfig, name: str, vocabulary: Vocabulary, plan: RolloutPlan, prompts: Sequence[Prompt]
) -> AbstractContextManager[Generator]:
    from qrpo.vllm_generation import EngineOptions, engine_seed, open_vllm

    options = EngineOptions(
        python=_vllm_python(config),
        model=name,
        revision=config.model.model_revision,
        dtype=str(sampling_dtype(config.generate.sampling_dtype)).removeprefix("torch."),
        tensor_parallel_size=config.generate.tensor_parallel_size,
        completions=plan.per_problem,
        sampling=plan.options,
        end_ids=tuple(sorted(vocabulary.end_ids)),
        max_model_len=max(len(prompt.ids) for prompt in prompts) + plan.options.max_new_tokens,
        # A shard, and a run that continues, begins with a prompt that no other engine began with.
        seed=engine_seed(plan.seed, plan.stream, prompts[0].problem_id),
    )
    return open_vllm(options, vocabulary, len(prompts))


def _vllm_python(config: PipelineConfig) -> str:
    return config.generate.vllm_python or sys.executable
