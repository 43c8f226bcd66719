import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from qrpo.likelihood import token_logps
from qrpo.models import Policy, load_policy
from qrpo.sampling import SamplingOptions, StopAfter, closes_block, end_of_function, replay, sample, uniforms


@pytest.fixture
def policy(make_model: Callable[..., LlamaForCausalLM], tokenizer: PreTrainedTokenizerFast) -> Policy:
    return Policy(model=make_model().eval(), tokenizer=tokenizer, end_ids=frozenset({0}))


def draws(count: int, *, problem: str = "p", length: int = 8) -> list[torch.Tensor]:
    return [uniforms(0, "test", problem, index, length) for index in range(count)]


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_completions_have_the_models_own_distribution(policy: Policy, temperature: float) -> None:
    count = 4000
    options = SamplingOptions(max_new_tokens=2, temperature=temperature)
    [found] = sample(policy, [[1, 3, 4]], [draws(count)], options)
    seen = Counter(item.token_ids for item in found)
    # Every sequence that is possible: the end token alone, and all pairs that do not begin with it.
    possible = [(0,), *((a, b) for a in range(1, 9) for b in range(9))]
    logps = token_logps(policy, [([1, 3, 4], tokens) for tokens in possible], temperature)
    expected = {tokens: count * math.exp(sum(values)) for tokens, values in zip(possible, logps, strict=True)}
    assert sum(expected.values()) == pytest.approx(count, rel=1e-4)
    assert seen.keys() <= expected.keys()
    # Rare sequences together are one class, as the chi-square law asks for.
    common = {tokens: wanted for tokens, wanted in expected.items() if wanted >= 10}
    rare = count - sum(common.values()), count - sum(seen[tokens] for tokens in common)
    pairs = [*((wanted, seen[tokens]) for tokens, wanted in common.items()), rare]
    chi_square = sum((got - wanted) ** 2 / wanted for wanted, got in pairs)
    freedom = len(pairs) - 1
    assert chi_square < freedom + 3.5 * math.sqrt(2 * freedom)  # about once in 1,000 times; the numbers are fixed


def test_a_completion_depends_only_on_its_own_prompt_and_numbers(policy: Policy) -> None:
    options = SamplingOptions(max_new_tokens=8)
    short, long = [1, 3], [1, 4, 5, 6, 7, 8]
    together = sample(policy, [short, long], [draws(5, problem="a"), draws(5, problem="b")], options)
    assert together[0] == sample(policy, [short], [draws(5, problem="a")], options)[0]
    assert together[1] == sample(policy, [long], [draws(5, problem="b")], options)[0]


def test_uniforms_differ_by_seed_stream_problem_and_index_and_are_the_same_again() -> None:
    found = {
        tuple(uniforms(*key, 3).tolist())
        for key in [(0, "a", "p", 0), (1, "a", "p", 0), (0, "b", "p", 0), (0, "a", "q", 0), (0, "a", "p", 1)]
    }
    assert len(found) == 5
    assert torch.equal(uniforms(0, "a", "p", 0, 3), uniforms(0, "a", "p", 0, 3))


def test_the_end_token_stops_and_the_limit_cuts(policy: Policy) -> None:
    [found] = sample(policy, [[1, 3]], [draws(200)], SamplingOptions(max_new_tokens=8))
    reasons = {item.finish_reason for item in found}
    assert reasons == {"stop", "length"}
    for item in found:
        assert (item.token_ids[-1] == 0) == (item.finish_reason == "stop")
        assert 0 not in item.token_ids[:-1]
        assert item.finish_reason == "stop" or len(item.token_ids) == 8


def test_a_completion_ends_where_its_code_block_closes(code_model_dir: Path) -> None:
    policy = load_policy(str(code_model_dir), dtype="float32")
    [plain] = sample(policy, [[1, 3]], [draws(50)], SamplingOptions(max_new_tokens=6))
    [ended] = sample(policy, [[1, 3]], [draws(50)], SamplingOptions(max_new_tokens=6, stop_after="block"))
    # The toy programs end in a newline after the fence, so none of them closes "at the very end".
    assert plain == ended


@pytest.mark.parametrize(
    ("text", "closes"),
    [
        ("```python\nx = 1\n```", True),
        ("Here:\n```\nx\n  ```", True),
        ("```python\nx = 1\n", False),
        ("```python", False),
        ("```", False),
        ("```python\ns = '```'\n", False),
        ("text ``` inline", False),
        ("```python\n```", True),
    ],
)
def test_a_block_closes_at_the_fence_after_its_opening(text: str, closes: bool) -> None:
    assert closes_block(text) is closes


@pytest.mark.parametrize(
    ("body", "end"),
    [
        ("\n    return x\n\nprint(f(1))", len("\n    return x\n\n")),
        ("\n    return x\n```", len("\n    return x\n")),
        ("\n    if x:\n\n        return 1\n    return 2\n\n", None),
        (" return x\ng", len(" return x\n")),
        ("\n\treturn x", None),
        ("", None),
    ],
)
def test_a_function_ends_before_its_first_line_without_indentation(body: str, end: int | None) -> None:
    assert end_of_function(body) == end


def test_the_text_ends_with_the_function_and_the_tokens_with_the_one_that_ended_it(code_model_dir: Path) -> None:
    policy = load_policy(str(code_model_dir), dtype="float32")
    options = SamplingOptions(max_new_tokens=6, stop_after="function")
    [found] = sample(policy, [[1, 3]], [draws(50)], options, ["def f(x):"])
    plain = sample(policy, [[1, 3]], [draws(50)], SamplingOptions(max_new_tokens=6), ["def f(x):"])[0]
    assert any(item.text == "def f(x):```python\n" for item in found)  # a toy program's second line is not indented
    for item, whole in zip(found, plain, strict=True):
        assert whole.text.startswith(item.text)
        assert whole.token_ids[: len(item.token_ids)] == item.token_ids
        if item.text != whole.text:
            assert item.finish_reason == "stop"
            assert end_of_function(policy.decode(item.token_ids[:-1])) is None


@pytest.mark.parametrize(
    ("stop_after", "start", "shorter"),
    [
        ("end", "def f(x):", False),
        ("block", "", True),
        ("block", "```\n", True),
        ("function", "", True),
        ("function", "def f(x):", True),
    ],
)
def test_tokens_drawn_without_stopping_are_cut_where_sampling_stops(
    make_model: Callable[..., LlamaForCausalLM], stop_after: StopAfter, start: str, *, shorter: bool
) -> None:
    policy = Policy(model=make_model().eval(), tokenizer=fences(), end_ids=frozenset({0}))
    [drawn] = sample(policy, [[1, 3]], [draws(300)], SamplingOptions(max_new_tokens=8), [start])
    options = SamplingOptions(max_new_tokens=8, stop_after=stop_after)
    [stopped] = sample(policy, [[1, 3]], [draws(300)], options, [start])
    assert [replay(item.token_ids, start, policy.vocabulary, options) for item in drawn] == stopped
    assert (sum(len(item.token_ids) for item in stopped) < sum(len(item.token_ids) for item in drawn)) == shorter


def fences() -> PreTrainedTokenizerFast:
    """Tokens that open and close code blocks, and lines."""
    words = ["<eos>", "<bos>", "<unk>", "```python\n", "```", "    x\n", "y\n", "\n", " "]
    vocabulary = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    vocabulary.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=vocabulary, eos_token="<eos>", unk_token="<unk>")


def test_tokens_that_sampling_would_have_gone_on_after_are_no_completion(policy: Policy) -> None:
    options = SamplingOptions(max_new_tokens=3)
    assert replay([4, 5], "", policy.vocabulary, options) is None
    assert replay([], "", policy.vocabulary, options) is None
    assert replay([4, 0, 5], "", policy.vocabulary, options) == replay([4, 0], "", policy.vocabulary, options)


@pytest.mark.parametrize(
    "changed",
    [
        {"max_new_tokens": 0},
        {"temperature": 0.0},
        {"temperature": math.nan},
        {"stop_after": "x"},
        *({"top_p": value} for value in (0.0, 1.01, math.nan)),
    ],
)
def test_options_out_of_range_are_refused(changed: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        SamplingOptions(**{"max_new_tokens": 4, **changed})  # type: ignore[arg-type]
