"""Errors of the pipeline: the caller or the machine is at fault, and the message says what to do.

PipelineError
├── ConfigError          an option or a config file is not what it should be
├── EngineError          vLLM could not start, or ended
├── ModelError           a model cannot be found or loaded
├── ShardError           a shard is missing, unfinished, or not of this run
├── StaleFolderError     an output folder was made from something else than what is asked for now
└── ToldError            the first of several processes has failed, and said so itself
"""

from __future__ import annotations

from collections.abc import Sequence


class PipelineError(Exception):
    """Base of the errors that a user sees as one message, without a traceback."""


class ConfigError(PipelineError):
    """An option is unknown, or its value cannot be used."""


class ModelError(PipelineError):
    """A model cannot be found, or is of no use here."""


class EngineError(PipelineError):
    """An engine of vLLM could not start, or ended before its work."""


class ShardError(PipelineError):
    """Shards do not make up a whole."""


class ToldError(PipelineError):
    """The process that leads has failed; the message is its error's."""


_ANEW = (
    "Give another --output_dir, go back to the old options, or delete that folder (and those of the stages after it) "
    "to make it anew."
)


class StaleFolderError(PipelineError):
    """A stage's folder was made with another configuration, or from other inputs.

    Attributes:
        stage: name of the stage. differences: one line per option or input that differs. advice: what to do.
    """

    def __init__(self, stage: str, folder: str, differences: Sequence[str], advice: str | None = None) -> None:
        self.stage = stage
        self.differences = tuple(differences)
        listed = "\n".join(f"  {line}" for line in differences)
        super().__init__(f"{folder} was made with a different configuration:\n{listed}\n{advice or _ANEW}")
