"""A stage's folder: plain files, and a manifest that says what they were made from.

    RUN/generate/manifest.json   stage, configuration, hashes of inputs and outputs, seconds, whether it is done
    RUN/generate/*.jsonl         the outputs

The manifest is written when a stage starts and again when it ends, so a folder that was left half-way is also
protected against being continued with other options. Files are replaced at once or not at all; those that grow are
journals (see `qrpo.journal`).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from qrpo.errors import PipelineError, StaleFolderError
from qrpo.files import files_in, hash_file, hash_path, write_atomically
from qrpo.locks import alone

MANIFEST = "manifest.json"
_VERSIONED = ("torch", "transformers", "trl")


class Manifest(BaseModel):
    """What a stage's folder was made from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: str
    done: bool
    config: dict[str, object]
    """The options that the outputs depend on, as JSON values."""
    inputs: dict[str, str]
    """SHA-256 of each input, by name."""
    outputs: dict[str, str]
    """SHA-256 of each output, by path relative to the folder; empty until the stage is done."""
    seconds: float
    """Wall time spent on the stage, over all attempts."""
    versions: dict[str, str]
    """Of the packages that decide the numbers."""


class Stage:
    """A stage at work in its folder; made by `open_stage`.

    Attributes:
        path: the folder. done: nothing is left to do.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.done = manifest.done
        self._manifest = manifest
        self._since = time.monotonic()

    @classmethod
    def seen(cls, path: Path) -> Stage:
        """A stage that another process has opened and writes to.

        Raises:
            PipelineError: this process does not see its folder.
        """
        manifest = read_manifest(path)
        if manifest is None:
            raise PipelineError(f"{path} is not there for this process; --output_dir must be on a shared file system")
        return cls(path, manifest)

    @property
    def inputs(self) -> Mapping[str, str]:
        """SHA-256 of each input, by name."""
        return self._manifest.inputs

    @property
    def seconds(self) -> float:
        """Wall time spent on the stage as the manifest has it, over all attempts, s."""
        return self._manifest.seconds

    @property
    def elapsed(self) -> float:
        """The same with the time since it was last written, s."""
        return self.seconds + time.monotonic() - self._since

    def finish(self, outputs: Sequence[str]) -> None:
        """Marks the stage as done.

        Args:
            outputs: files and folders below `path` that later stages may read.
        """
        hashes = {
            str(file.relative_to(self.path)): hash_file(file) for name in outputs for file in files_in(self.path / name)
        }
        self._write(done=True, outputs=hashes)
        self.done = True

    def add_versions(self, versions: Mapping[str, str]) -> None:
        """Notes packages of another Python, or of other shards, that took part; where versions differ, all of them."""
        known = self._manifest.versions
        both = {
            name: ", ".join(dict.fromkeys((known.get(name, version), version))) for name, version in versions.items()
        }
        self._manifest = self._manifest.model_copy(update={"versions": {**known, **both}})
        self.save_time()

    def save_time(self) -> None:
        """Adds the time since the last call to the manifest."""
        self._write(done=self._manifest.done, outputs=self._manifest.outputs)

    def _write(self, *, done: bool, outputs: Mapping[str, str]) -> None:
        now = time.monotonic()
        self._manifest = self._manifest.model_copy(
            update={"done": done, "outputs": dict(outputs), "seconds": self.seconds + now - self._since}
        )
        self._since = now
        write_atomically(self.path / MANIFEST, self._manifest.model_dump_json(indent=1) + "\n")


@contextmanager
def open_stage(
    path: Path, *, stage: str, config: Mapping[str, object], inputs: Mapping[str, Path | str]
) -> Iterator[Stage]:
    """Enters a stage's folder, new or left half-way or done; time is kept even if the stage is interrupted.

    Args:
        path: the folder, made where missing.
        stage: its name.
        config: options that its outputs depend on; JSON values.
        inputs: files or folders that it reads, or strings that identify what is not a file (a model on a hub).

    Raises:
        StaleFolderError: the folder was made with another `config` or from other `inputs`.
        PipelineError: an input is missing, the manifest cannot be read, an output was changed since, or another
            process is at work in the folder.
    """
    config = _as_json(config)
    hashes = hash_inputs(inputs, stage)
    check_folder(path, stage=stage, config=config, hashes=hashes)
    manifest = read_manifest(path)
    if manifest is not None and manifest.done:
        check_outputs(path, manifest)
        yield Stage(path, manifest)
        return
    path.mkdir(parents=True, exist_ok=True)
    with alone(path):
        check_folder(path, stage=stage, config=config, hashes=hashes)  # as the last process in there has left it
        manifest = read_manifest(path)
        if manifest is None:
            manifest = Manifest(
                stage=stage,
                done=False,
                config=config,
                inputs=hashes,
                outputs={},
                seconds=0.0,
                versions=package_versions(),
            )
            write_atomically(path / MANIFEST, manifest.model_dump_json(indent=1) + "\n")
        work = Stage(path, manifest)
        try:
            yield work
        finally:
            if not work.done:
                work.save_time()


def check_folder(
    path: Path, *, stage: str, config: Mapping[str, object], hashes: Mapping[str, str] | None = None
) -> None:
    """Refuses a folder that was made with other options, or from other inputs where their hashes are given.

    Raises:
        StaleFolderError: naming each difference.
        PipelineError: there are files but no manifest, or it cannot be read.
    """
    manifest = read_manifest(path)
    if manifest is None:
        # A kill can leave the lock, or a draft of the manifest.
        if path.is_dir() and any(not file.name.startswith(".") for file in path.iterdir()):
            raise PipelineError(f"{path} holds files but no {MANIFEST}; move them away or give another --output_dir")
        return
    wanted = _as_json(config)
    differences = [
        f"{name}: there {_shown(manifest.config, name)}, asked for {_shown(wanted, name)}"
        for name in sorted(manifest.config.keys() | wanted.keys())
        if manifest.config.get(name, _MISSING) != wanted.get(name, _MISSING)
    ]
    if hashes is not None:
        differences += [
            f"input {name}: its content is not what the folder was made from"
            for name in sorted(manifest.inputs.keys() | hashes.keys())
            if manifest.inputs.get(name) != hashes.get(name)
        ]
    if differences:
        raise StaleFolderError(stage, str(path), differences)


def read_manifest(path: Path) -> Manifest | None:
    """The manifest of a stage's folder; None where there is none.

    Raises:
        PipelineError: it is not what this program writes.
    """
    file = path / MANIFEST
    try:
        text = file.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        raise PipelineError(f"{file} cannot be read ({error.error_count()} errors); delete {path}") from error


def hash_inputs(inputs: Mapping[str, Path | str], stage: str) -> dict[str, str]:
    """SHA-256 of each input, by name.

    Raises:
        PipelineError: one is missing.
    """
    return {name: _hash_input(name, source, stage) for name, source in inputs.items()}


_MISSING = object()
"""Differs from every JSON value, None included."""


def _shown(config: Mapping[str, object], name: str) -> str:
    return repr(config[name]) if name in config else "nothing"


def _as_json(config: Mapping[str, object]) -> dict[str, object]:
    """The same as it comes back from a file: tuples become lists, paths strings."""
    plain = json.loads(json.dumps(dict(config), default=str))
    assert isinstance(plain, dict)
    return plain


def _hash_input(name: str, source: Path | str, stage: str) -> str:
    if isinstance(source, str):
        return hashlib.sha256(source.encode()).hexdigest()
    if not source.exists():
        raise PipelineError(f"stage {stage} needs {name}, which is not there: {source}. Run the stage that makes it.")
    return hash_path(source)


def changed_outputs(path: Path, manifest: Manifest) -> list[str]:
    """The outputs in a folder that are not what its manifest has, or are gone."""
    return [
        name
        for name, digest in manifest.outputs.items()
        if not (path / name).is_file() or hash_file(path / name) != digest
    ]


def check_outputs(path: Path, manifest: Manifest) -> None:
    """Refuses a folder whose outputs are not what its manifest has.

    Raises:
        PipelineError: naming them.
    """
    changed = changed_outputs(path, manifest)
    if changed:
        raise PipelineError(
            f"{path}: {', '.join(changed[:3])} {'is' if len(changed) == 1 else 'are'} missing or changed since the "
            f"stage ended; delete {path} to make it anew"
        )


def package_versions() -> dict[str, str]:
    """Of the packages that decide the numbers."""
    return {name: metadata.version(name) for name in _VERSIONED}
