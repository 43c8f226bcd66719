"""Log-probabilities under the reference policy, computed once per model and completion and kept on disk.

    FOLDER/<hash of the model>-<numbers>/<hash of the rows>.npz     digests [N, 32] uint8, logps [N] float32

A run adds one file with what was missing, so runs that start together never write into each other's, and another
beta, learning rate, transform or filter of rows finds what is there.
"""

from __future__ import annotations

import hashlib
import io
import logging
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from qrpo.encoding import Tokens
from qrpo.files import write_atomically

log = logging.getLogger(__name__)

Digest = bytes
"""SHA-256 of the token ids of a prompt and its completion."""


def row_digest(prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> Digest:
    """Names a completion of a prompt; differs also where only the border between the two does."""
    sha = hashlib.sha256(len(prompt_ids).to_bytes(8, "little"))
    sha.update(np.asarray([*prompt_ids, *completion_ids], dtype="<i8").tobytes())
    return sha.digest()


def completed(
    rows: Iterable[Sequence[Tokens]],
    cache: RefLogpsCache,
    compute: Callable[[list[Tokens]], list[float]],
    *,
    by_prompt: bool = False,
) -> list[list[float]]:
    """The log-probabilities of each row's sequences: what the cache has, and the rest computed and added to it.

    Args:
        rows: the same on all processes.
        cache: used by the first process alone: another job may add a file between two processes' reads.
        compute: called on all processes or on none; its sequences are each given once, long ones first.
        by_prompt: give those of a prompt together.
    """
    is_main = PartialState().is_main_process
    [known] = broadcast_object_list([cache.load() if is_main else {}])
    digests: list[list[Digest]] = []
    missing: dict[Digest, Tokens] = {}  # what is known is not kept: lists of numbers are large in Python
    for row in rows:
        digests.append([row_digest(*tokens) for tokens in row])
        missing |= {named: tokens for named, tokens in zip(digests[-1], row, strict=True) if named not in known}
    if missing:
        # Batches of similar lengths; the longest first, so that what is too big for the memory fails at once.
        order = _prompt_by_prompt(missing) if by_prompt else sorted(missing, key=lambda one: -_length(missing[one]))
        found = dict(zip(order, compute([missing[digest] for digest in order]), strict=True))
        if is_main:
            try:
                cache.save(found)
            except OSError as error:  # hours of work, which this run has all the same
                log.warning("%s cannot be written (%s); the next run computes it again", cache.folder, error)
        known |= found
    return [[known[digest] for digest in named] for named in digests]


def _prompt_by_prompt(sequences: Mapping[Digest, Tokens]) -> list[Digest]:
    """Those of a prompt together, that of the longest sequence first."""
    prompts: dict[tuple[int, ...], list[Digest]] = {}
    for digest, tokens in sequences.items():
        prompts.setdefault(tuple(tokens.prompt_ids), []).append(digest)
    groups = [sorted(group, key=lambda digest: -_length(sequences[digest])) for group in prompts.values()]
    return [digest for group in sorted(groups, key=lambda group: -_length(sequences[group[0]])) for digest in group]


def _length(tokens: Tokens) -> int:
    return len(tokens.prompt_ids) + len(tokens.completion_ids)


class RefLogpsCache:
    """The files of one reference model.

    Attributes:
        folder: where they lie; made when something is saved.
    """

    def __init__(self, root: Path, *, model_hash: str, numbers: str) -> None:
        """Opens a cache.

        Args:
            root: shared by all models.
            model_hash: of the reference's weights.
            numbers: what the forward pass computes in (`qrpo.reference.numbers_of`).
        """
        self.folder = root / f"{model_hash[:32]}-{numbers}"

    def load(self) -> dict[Digest, float]:
        """All that is known, nats. A file that cannot be read counts as absent: its rows are computed again."""
        known: dict[Digest, float] = {}
        for path in sorted(self.folder.glob("*.npz")):
            try:
                with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
                    digests, logps = arrays["digests"], arrays["logps"]
            except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
                log.warning("%s cannot be read (%s); its log-probabilities are computed again", path, error)
                continue
            known.update((bytes(digest), float(logp)) for digest, logp in zip(digests, logps, strict=True))
        return known

    def save(self, logps: Mapping[Digest, float]) -> None:
        """Adds a file.

        Raises:
            OSError: the folder cannot be written.
        """
        digests = sorted(logps)
        buffer = io.BytesIO()
        np.savez(
            buffer,
            digests=np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(len(digests), -1),
            logps=np.asarray([logps[digest] for digest in digests], dtype=np.float32),
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / f"{_hash_all(digests)[:32]}.npz", buffer.getvalue())


def _hash_all(digests: Iterable[Digest]) -> str:
    return hashlib.sha256(b"".join(digests)).hexdigest()
