"""Log-probabilities under the reference policy, computed once per model and completion and kept on disk.

    FOLDER/<hash of the model>-<dtype>/<hash of the rows>.npz     digests [N, 32] uint8, logps [N] float32

A run adds one file with what was missing, so runs that start together never write into each other's, and another
beta, learning rate, transform or filter of rows finds what is there.
"""

from __future__ import annotations

import hashlib
import io
import logging
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from qrpo.artifacts import write_atomically

log = logging.getLogger(__name__)

Digest = bytes
"""SHA-256 of the token ids of a prompt and its completion."""


def row_digest(prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> Digest:
    """Names a completion of a prompt; differs also where only the border between the two does."""
    sha = hashlib.sha256(len(prompt_ids).to_bytes(8, "little"))
    sha.update(np.asarray([*prompt_ids, *completion_ids], dtype="<i8").tobytes())
    return sha.digest()


def hash_frozen(model: nn.Module) -> str:
    """The hash of a model under a PEFT adapter: what is left when the adapter is switched off.

    It equals `trl.trainer.utils.hash_module` of the same model without an adapter, so that full fine-tuning and LoRA
    share what they know of the reference.
    """
    frozen = {
        # PEFT's names for what it wraps
        name.replace(".base_layer.", ".").replace(".original_module.", "."): tensor
        for name, tensor in model.state_dict(keep_vars=True).items()
        if not tensor.requires_grad
    }
    sha = hashlib.sha256()
    for name in sorted(frozen):
        tensor = frozen[name].detach().cpu()
        sha.update(str(tensor.dtype).encode())
        if tensor.dtype in {torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2}:
            tensor = tensor.float()  # numpy has no such types
        sha.update(tensor.numpy().tobytes())
    return sha.hexdigest()


class RefLogpsCache:
    """The files of one reference model.

    Attributes:
        folder: where they lie; made when something is saved.
    """

    def __init__(self, root: Path, *, model_hash: str, dtype: str) -> None:
        """Opens a cache.

        Args:
            root: shared by all models.
            model_hash: of the reference's weights.
            dtype: that the forward pass computes in; the same weights differ by up to some nats per completion.
        """
        self.folder = root / f"{model_hash[:32]}-{dtype}"

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
