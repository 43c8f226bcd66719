"""A data set's own answers: in the model's tokens, judged, and fine-tuned on."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

from qrpo.answers import AnswersGenerator
from qrpo.config import parse
from qrpo.display import Display
from qrpo.errors import ConfigError, PipelineError, StaleFolderError
from qrpo.generator import Prompt
from qrpo.interrupts import Interrupts
from qrpo.journal import read_records
from qrpo.records import Completion, Rollout, ScoredRollout
from qrpo.sampling import SamplingOptions
from qrpo.train_code import run
from qrpo.vocabulary import Vocabulary

CHAT = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}<turn>{% endfor %}"
SOLUTIONS = {"good": "def f(x):\n    return x + 1\n", "bad": "def f(x):\n    return x\n"}


def vocabulary_of(template: str = CHAT) -> Vocabulary:
    """One token for each byte, and ends of a turn and of a text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytes_alone = Tokenizer(models.BPE({sign: index for index, sign in enumerate(alphabet)}, []))
    bytes_alone.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_alone.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytes_alone, eos_token="<eos>", chat_template=template)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<turn>"]})
    return Vocabulary(tokenizer=tokenizer, end_ids=frozenset(tokenizer.convert_tokens_to_ids(["<eos>", "<turn>"])))


def completion(answer: str, start: str = "", template: str = CHAT, **options: object) -> Completion:
    prompt = Prompt(problem_id="p", messages=(), ids=(1,), answer_start=start)
    sampling = SamplingOptions(**{"max_new_tokens": 1000, **options})  # type: ignore[arg-type]
    [[found]] = AnswersGenerator({"p": answer}, vocabulary_of(template), sampling).generate([prompt])
    return found


def decoded(found: Completion) -> str:
    return vocabulary_of().tokenizer.decode(list(found.token_ids))


def test_an_answer_ends_as_the_chat_template_ends_it() -> None:
    found = completion("Here:\n```python\nx = 'é'\n```\nDone.")
    assert found.text == "Here:\n```python\nx = 'é'\n```\nDone."
    assert decoded(found) == found.text + "<turn>"
    assert found.finish_reason == "stop"


@pytest.mark.parametrize("end", ["", "{% if m['role'] == 'user' %}<turn>{% endif %}"])
def test_where_the_template_does_not_end_an_answer_the_text_ends(end: str) -> None:
    template = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}" + end + "{% endfor %}"
    assert decoded(completion("x", template=template)) == "x<eos>"


def test_an_answer_goes_on_where_its_prompt_begins_it() -> None:
    found = completion("```python\ndef f(x):\n    return x\n```", start="```python\ndef f(x):")
    assert found.text == "```python\ndef f(x):\n    return x\n```"
    assert decoded(found) == "\n    return x\n```<turn>"
    with pytest.raises(PipelineError, match=r"problem 'p': its answer begins with 'def g', .* 'def f'"):
        completion("def g(x): pass", start="def f")


def test_an_answer_is_cut_and_ended_as_a_sampled_one_would_be() -> None:
    cut = completion("x" * 20, max_new_tokens=5)
    assert (cut.text, cut.finish_reason) == ("xxxxx", "length")
    block = completion("A:\n```python\nx = 1\n```\nDone.", stop_after="block")
    assert (decoded(block), block.finish_reason) == ("A:\n```python\nx = 1\n```", "stop")
    function = completion("def f():\n    pass\n\nf()", start="def f():", stop_after="function")
    assert (function.text, decoded(function)) == ("def f():\n    pass\n\n", "\n    pass\n\nf")


OPTIONS = """
output_dir: nowhere
generator: answers
num_completions: 1
algorithm: sft
max_new_tokens: 60
eval_completions: 1
kl_completions: 1
bootstrap_samples: 20
num_train_epochs: 4
learning_rate: 1.0e-2
per_device_train_batch_size: 1
gradient_checkpointing: false
logging_steps: 1
sandbox_workers: 2
use_cpu: true
heldout_problems: null
"""


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs the pipeline on answers; returns what it shows."""
    folder = tmp_path_factory.mktemp("byte model")
    tokenizer = vocabulary_of().tokenizer
    set_seed(0)
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    eos = tokenizer.convert_tokens_to_ids("<eos>")
    config = LlamaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=256, eos_token_id=eos, pad_token_id=eos, **size
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "config.yaml").write_text(OPTIONS)

    def start(output: Path, problems: Path, *options: str) -> str:
        console = Console(file=io.StringIO(), width=200)
        arguments = ["--config", str(folder / "config.yaml"), "--model_name_or_path", str(folder), "--bf16", "false"]
        places = ["--train_problems", str(problems), "--output_dir", str(output)]
        run(parse([*arguments, *places, *options]), Display(console), Interrupts())
        return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]

    return start


def write(path: Path, solutions: dict[str, str | None]) -> Path:
    tests = {"tests": ["assert f(1) == 2", "assert f(2) == 3"], "entry_point": "f"}
    rows = [{"id": name, "prompt": "p", **tests, "solution": text} for name, text in solutions.items()]
    path.write_text("".join(json.dumps({k: v for k, v in row.items() if v is not None}) + "\n" for row in rows))
    return path


def test_answers_are_judged_and_those_that_pass_fine_tuned_on(start: Callable[..., str], tmp_path: Path) -> None:
    """Whatever is said of prompts whose rewards are all equal: each prompt has one."""
    problems = write(tmp_path / "p.jsonl", SOLUTIONS)
    shown = start(tmp_path / "run", problems, "--drop_all_equal", "true")
    assert "answers of the data set" in shown
    assert "sft: 1 solutions of 1 problems" in shown
    scored = read_records(tmp_path / "run" / "score" / "scored.jsonl", ScoredRollout)
    assert [(rollout.rewards, rollout.verdicts) for rollout in scored] == [((1.0,), ("AC",)), ((0.0,), ("WA",))]
    losses = [json.loads(line)["loss"] for line in (tmp_path / "run" / "train" / "log.jsonl").read_text().splitlines()]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    page = (tmp_path / "run" / "report" / "report.html").read_text()
    assert "SFT run: " in page
    assert "trained on the 1 solutions. " in " ".join(page.split())  # and of no beta


def test_shards_of_answers_make_up_the_whole(start: Callable[..., str], tmp_path: Path) -> None:
    problems = write(tmp_path / "p.jsonl", SOLUTIONS)
    start(tmp_path / "whole", problems, "--stage", "generate")
    for shard in "01":
        start(tmp_path / "parts", problems, "--stage", "generate", "--num_shards", "2", "--shard", shard,
              "--batch_completions", "1")  # fmt: skip
    start(tmp_path / "parts", problems, "--stage", "merge", "--batch_completions", "1")
    one, other = (
        read_records(tmp_path / name / "generate" / "completions.jsonl", Rollout) for name in ("whole", "parts")
    )
    assert one == other


def test_other_answers_make_another_input(start: Callable[..., str], tmp_path: Path) -> None:
    start(tmp_path / "run", write(tmp_path / "p.jsonl", SOLUTIONS), "--stage", "generate")
    with pytest.raises(StaleFolderError, match="input answers"):
        start(tmp_path / "run", write(tmp_path / "p.jsonl", SOLUTIONS | {"bad": "f = abs"}), "--stage", "generate")


def test_problems_without_answers_are_named(start: Callable[..., str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"p\.jsonl: 1 of 2 problems have no answer, such as 'bad'"):
        start(tmp_path / "run", write(tmp_path / "p.jsonl", {**SOLUTIONS, "bad": None}), "--stage", "generate")


def test_prompts_show_nothing_of_an_answer(start: Callable[..., str], tmp_path: Path) -> None:
    start(tmp_path / "run", write(tmp_path / "p.jsonl", SOLUTIONS), "--stage", "generate")
    for rollout in read_records(tmp_path / "run" / "generate" / "completions.jsonl", Rollout):
        assert vocabulary_of().tokenizer.decode(list(rollout.prompt_ids)) == "<user>p<turn>"
