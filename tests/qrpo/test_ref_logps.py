"""Reference log-probabilities on disk."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qrpo.encoding import Tokens
from qrpo.ref_logps import RefLogpsCache, completed, row_digest

tokens = st.lists(st.integers(0, 200_000), max_size=6)


@given(prompt=tokens, completion=tokens, other_prompt=tokens, other_completion=tokens)
def test_digests_differ_exactly_where_rows_do(
    prompt: list[int], completion: list[int], other_prompt: list[int], other_completion: list[int]
) -> None:
    same = (prompt, completion) == (other_prompt, other_completion)
    assert (row_digest(prompt, completion) == row_digest(other_prompt, other_completion)) is same


@given(sequence=st.lists(st.integers(0, 9), min_size=1, max_size=6))
def test_the_border_between_prompt_and_completion_is_part_of_the_digest(sequence: list[int]) -> None:
    digests = {row_digest(sequence[:cut], sequence[cut:]) for cut in range(len(sequence) + 1)}
    assert len(digests) == len(sequence) + 1


def test_what_several_runs_saved_is_there_together(tmp_path: Path) -> None:
    first, second = (RefLogpsCache(tmp_path, model_hash="f" * 64, numbers="float32") for _ in range(2))
    assert first.load() == {}
    first.save({row_digest([1], [2]): -1.5})
    second.save({row_digest([1], [3]): -2.5, row_digest([1], [4]): -1e4})
    known = RefLogpsCache(tmp_path, model_hash="f" * 64, numbers="float32").load()
    assert known == {row_digest([1], [2]): -1.5, row_digest([1], [3]): -2.5, row_digest([1], [4]): -1e4}


def test_what_is_missing_is_computed_once_the_longest_first_and_goes_where_it_belongs(tmp_path: Path) -> None:
    cache = RefLogpsCache(tmp_path, model_hash="f" * 64, numbers="float32")
    cache.save({row_digest([1], [9]): -9.0})
    rows = [[Tokens([1], [2]), Tokens([1], [9])], [Tokens([1, 1], [4, 5]), Tokens([1], [2])], [Tokens([1], [3, 3])] * 2]
    asked: list[list[Tokens]] = []

    def compute(sequences: list[Tokens]) -> list[float]:
        asked.append(sequences)
        return [-float(sum(completion)) for _, completion in sequences]

    assert completed(rows, cache, compute) == [[-2.0, -9.0], [-9.0, -2.0], [-6.0, -6.0]]
    assert asked == [[Tokens([1, 1], [4, 5]), Tokens([1], [3, 3]), Tokens([1], [2])]]
    assert completed(rows, cache, compute) == [[-2.0, -9.0], [-9.0, -2.0], [-6.0, -6.0]]
    assert len(asked) == 1


def test_a_cache_that_cannot_be_written_loses_nothing_and_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    cache = RefLogpsCache(tmp_path / "file", model_hash="f" * 64, numbers="float32")
    assert completed([[Tokens([1], [2])]], cache, lambda sequences: [-2.0] * len(sequences)) == [[-2.0]]
    assert f"{cache.folder} cannot be written" in caplog.text


def test_those_of_a_prompt_are_asked_for_together_if_they_are_to(tmp_path: Path) -> None:
    cache = RefLogpsCache(tmp_path, model_hash="f" * 64, numbers="float32")
    long, short, other, alone = Tokens([1], [2] * 9), Tokens([1], [3]), Tokens([2], [4] * 5), Tokens([2], [5] * 2)
    asked: list[list[Tokens]] = []

    def compute(sequences: list[Tokens]) -> list[float]:
        asked.append(sequences)
        return [0.0] * len(sequences)

    completed([[short], [alone], [other], [long]], cache, compute, by_prompt=True)
    assert asked == [[long, short, other, alone]]


@pytest.mark.parametrize("other", [{"model_hash": "0" * 64}, {"numbers": "bf16"}])
def test_models_and_dtypes_are_kept_apart(tmp_path: Path, other: dict[str, str]) -> None:
    mine = {"model_hash": "f" * 64, "numbers": "float32"}
    RefLogpsCache(tmp_path, **mine).save({row_digest([1], [2]): -1.5})
    assert RefLogpsCache(tmp_path, **(mine | other)).load() == {}


@pytest.mark.parametrize("content", [b"", b"PK", b"not an archive"])
def test_a_file_that_cannot_be_read_counts_as_absent(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    cache = RefLogpsCache(tmp_path, model_hash="f" * 64, numbers="float32")
    cache.save({row_digest([1], [2]): -1.5})
    (cache.folder / "broken.npz").write_bytes(content)
    assert cache.load() == {row_digest([1], [2]): -1.5}
    assert "broken.npz" in caplog.text
