"""Sampling into a journal: what `qrpo.generate` and the evaluation rest on."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from qrpo.display import Display
from qrpo.errors import PipelineError
from qrpo.models import Policy, load_policy
from qrpo.records import Rollout
from qrpo.rollouts import RolloutPlan, _deal, _prompt, sample_rollouts
from qrpo.sampling import SamplingOptions
from sandbox import Problem


@pytest.fixture
def display() -> Display:
    return Display(Console(file=io.StringIO()))


@pytest.fixture(scope="session")
def policy(code_model_dir: Path) -> Policy:
    return load_policy(str(code_model_dir), dtype="float32")


def plan(**changed: object) -> RolloutPlan:
    prompts = {"a": "successor", "b": "double double double", "c": "identity double"}
    options: dict[str, object] = {
        "problems": tuple(Problem(id=name, prompt=text, tests=("assert True",)) for name, text in prompts.items()),
        "completions": 4,
        "options": SamplingOptions(max_new_tokens=5),
        "seed": 0,
        "stream": "test",
        "batch_completions": 4,
    }
    return RolloutPlan(**{**options, **changed})  # type: ignore[arg-type]


def test_rollouts_come_in_the_order_of_the_problems(policy: Policy, display: Display, tmp_path: Path) -> None:
    found = sample_rollouts(policy, plan(), tmp_path / "j", display, "test")
    assert [rollout.problem_id for rollout in found] == ["a", "b", "c"]
    assert all(len(rollout.completions) == 4 for rollout in found)
    # The longest prompt was sampled first.
    assert Rollout.model_validate_json((tmp_path / "j").read_bytes().splitlines()[0]).problem_id == "b"


def test_prompt_ids_are_those_of_the_chat_template(policy: Policy, display: Display, tmp_path: Path) -> None:
    [first, *_] = sample_rollouts(policy, plan(), tmp_path / "j", display, "test")
    assert list(first.prompt_ids) == policy.encode(first.prompt)


def test_the_start_of_an_answer_is_prompt_to_the_model_and_answer_to_the_judge(
    policy: Policy, display: Display, tmp_path: Path
) -> None:
    problem = Problem(id="a", prompt="successor", answer_start="double", tests=("assert True",))
    [rollout] = sample_rollouts(policy, plan(problems=(problem,)), tmp_path / "j", display, "test")
    assert rollout.prompt[-1].role == "assistant"
    assert rollout.prompt_ids[-1] == policy.tokenizer.convert_tokens_to_ids("double")
    assert all(item.text.startswith("double") for item in rollout.completions)
    assert all(item.text == "double" + policy.decode(item.token_ids) for item in rollout.completions)


def test_the_same_completions_whatever_the_batch(policy: Policy, display: Display, tmp_path: Path) -> None:
    one = sample_rollouts(policy, plan(batch_completions=4), tmp_path / "1", display, "test")
    all_at_once = sample_rollouts(policy, plan(batch_completions=64), tmp_path / "2", display, "test")
    assert one == all_at_once


def test_more_completions_begin_with_the_fewer(policy: Policy, display: Display, tmp_path: Path) -> None:
    few = sample_rollouts(policy, plan(completions=2), tmp_path / "1", display, "test")
    many = sample_rollouts(policy, plan(completions=5), tmp_path / "2", display, "test")
    assert [rollout.completions for rollout in few] == [rollout.completions[:2] for rollout in many]


@pytest.mark.parametrize("changed", [{"seed": 1}, {"stream": "other"}])
def test_another_seed_or_purpose_gives_other_completions(
    policy: Policy, display: Display, tmp_path: Path, changed: dict[str, object]
) -> None:
    first = sample_rollouts(policy, plan(), tmp_path / "1", display, "test")
    assert sample_rollouts(policy, plan(**changed), tmp_path / "2", display, "test") != first


def test_what_is_in_the_journal_is_not_sampled_again(policy: Policy, display: Display, tmp_path: Path) -> None:
    whole = sample_rollouts(policy, plan(), tmp_path / "j", display, "test")
    lines = (tmp_path / "j").read_bytes().splitlines(keepends=True)
    marked = lines[0].replace(b'"text":"', b'"text":"MARK', 1)
    (tmp_path / "j").write_bytes(marked + lines[1][:10])  # one whole batch, and one that was being written
    again = sample_rollouts(policy, plan(), tmp_path / "j", display, "test")
    assert again[1].completions[0].text.startswith("MARK")
    assert [again[0], again[2]] == [whole[0], whole[2]]


def test_problems_with_long_prompts_are_left_out(policy: Policy, tmp_path: Path) -> None:
    console = Console(file=io.StringIO())
    sizes = {"a": 2, "b": 4, "c": 3}  # with the beginning of the sequence
    found = sample_rollouts(policy, plan(max_prompt_tokens=3), tmp_path / "1", Display(console), "test")
    assert {rollout.problem_id: len(rollout.prompt_ids) for rollout in found} == {"a": sizes["a"], "c": sizes["c"]}
    assert "1 of 3 problems left out" in console.file.getvalue()  # type: ignore[attr-defined]
    assert found == sample_rollouts(policy, plan(), tmp_path / "2", Display(console), "test")[::2]
    with pytest.raises(PipelineError, match="the shortest prompt has 2 tokens"):
        sample_rollouts(policy, plan(max_prompt_tokens=1), tmp_path / "3", Display(console), "test")


def test_shards_have_the_batches_of_the_whole_each_once(policy: Policy) -> None:
    names = [f"p{number}" for number in range(11)]
    problems = tuple(
        Problem(id=name, prompt="double " * (int(name[1:]) % 4 + 1), tests=("assert True",)) for name in names
    )
    prompts = [_prompt(problem, policy.vocabulary) for problem in problems]
    whole = _deal(prompts, plan(problems=problems, batch_completions=8))
    parts = [_deal(prompts, plan(problems=problems, batch_completions=8, shard=k, num_shards=4)) for k in range(4)]
    assert sorted(map(len, parts)) == [1, 1, 2, 2]
    assert [parts[place % 4][place // 4] for place in range(len(whole))] == whole


def test_a_plan_without_completions_is_refused() -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        plan(completions=0)
