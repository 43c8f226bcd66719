"""Fuzzers, for a number of inputs that takes seconds; by hand they can run for days."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

FUZZER = Path(__file__).parent / "fuzz_messages.py"
INPUTS = 40_000


@pytest.fixture
def needs_atheris() -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed: there are builds for x86-64 and Python 3.11 to 3.13 only")


def fuzz(script: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script), "-seed=1", "-max_len=2048", "-rss_limit_mb=2048", "-timeout=20", *options]
    return subprocess.run(
        [*command, f"-artifact_prefix={folder}/", str(folder)], capture_output=True, text=True, check=False, timeout=600
    )


@pytest.mark.usefixtures("needs_atheris")
def test_no_bytes_of_a_program_get_past_the_frames_and_the_codec(tmp_path: Path) -> None:
    code = f"import runpy; seeds = runpy.run_path({str(FUZZER)!r})['seeds']()"
    write = "\nfor i, s in enumerate(seeds): open(f'{folder}/{i}', 'wb').write(s)"
    folder = tmp_path / "inputs"
    folder.mkdir()
    subprocess.run([sys.executable, "-c", f"folder = {str(folder)!r}\n{code}{write}"], check=True, capture_output=True)
    assert len(list(folder.iterdir())) >= 20
    done = fuzz(FUZZER, folder, f"-runs={INPUTS}")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert f"Done {INPUTS} runs" in done.stderr


BROKEN = """
import runpy, sys
sys.argv = ["fuzz", *sys.argv[1:]]
module = runpy.run_path({fuzzer!r})
import atheris
decoders = module["decode"].__globals__["Decoder"].decode.__globals__["DECODERS"]
decoders["t"] = {flaw}
sys.addaudithook(module["_audit"])
atheris.Setup(sys.argv, module["decode"])
atheris.Fuzz()
"""


@pytest.mark.usefixtures("needs_atheris")
@pytest.mark.parametrize(
    ("flaw", "said"),
    [
        ("lambda token: eval(str(token))", "decoding led to"),
        ("lambda token: [][5000]", None),
        ("lambda token: {}.a", None),
        ("lambda token: (lambda: token)", "function"),
        ("lambda token: bytes(1 << 29)", "MOST_BYTES"),
        ("lambda token: (_ for _ in ()).throw(RuntimeError('unforeseen'))", "unforeseen"),
    ],
)
def test_the_fuzzer_notices_a_decoder_that_is_at_fault(tmp_path: Path, flaw: str, said: str | None) -> None:
    """What the codec turns into its own error stays unnoticed, as it should."""
    (tmp_path / "inputs").mkdir()
    frame = b'{"ok":true,"classes":[],"same":{}}\n[[],{"t":[1,2]}]'
    (tmp_path / "inputs" / "0").write_bytes(len(frame).to_bytes(4, sys.byteorder) + frame)
    script = tmp_path / "broken.py"
    script.write_text(BROKEN.format(fuzzer=str(FUZZER), flaw=flaw))
    done = fuzz(script, tmp_path / "inputs", "-runs=50")
    if said is None:
        assert done.returncode == 0, done.stderr[-2000:]
    else:
        assert done.returncode != 0
        assert said in done.stdout + done.stderr
