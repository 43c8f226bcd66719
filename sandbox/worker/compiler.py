"""From a source to what a candidate runs: compiled once for all its tests, in a candidate's place of its own.

What a compiler makes is bytes that nothing on this side looks into. They are only ever given back to candidates that
run the same source.
"""

from __future__ import annotations

import collections
import hashlib
import marshal
import re
import shutil
import socket
from typing import Any, Dict, Mapping, NamedTuple, Sequence, Union

from .commands import MAX_PRODUCT
from .languages import LANGUAGES, PYTHON, Language, limits_of
from .outcome import outcome_of
from .run import InfrastructureFailure, run_script, script

_LIMITS = {
    "cpu_s": 30.0, "total_cpu_s": 30.0, "due_cpu_s": 30.0, "due_total_cpu_s": 30.0, "idle_s": 10.0,
    "memory_bytes": 2 << 30, "output_bytes": MAX_PRODUCT, "processes": 64, "disk_bytes": 512 << 20, "open_files": 1024,
}  # fmt: skip
_SAMPLE_LIMITS = {**_LIMITS, "memory_bytes": 256 << 20, "output_bytes": 1 << 20, "disk_bytes": 16 << 20}
_MOST_KEPT = 96 << 20
"""Bytes of compiled programs and of what compilers said; more would make every fork slower."""
_MOST_WORDS, _LAST_WORDS = 4000, 1000
"""Bytes kept of what a compiler says, and those of them that are its last."""
_PATH = "/usr/local/bin:/usr/bin:/bin"
_PAGE = 4096
_TIMES_IN_MEMORY = 3
"""That files lie there while they are written: as they came, by name, and in the folder."""
_PASSING_FILE = re.compile(r"\bcc\w{6}\.([os])\b")
"""What gcc calls the program between two of its steps: another name each time."""


class CompileError(Exception):
    """The source does not compile: verdict CE. The text is the compiler's."""


class StoppedCompileError(CompileError):
    """The compiler exceeded one of its limits, which another time, on a less busy machine, it may not."""


class UnsupportedLanguage(Exception):  # noqa: N818 - `UnsupportedLanguageError` is what the pool makes of it
    """The runtime cannot run programs in a language; the text says what is missing."""


class Surroundings(NamedTuple):
    """What a program is given besides its stdin; see sandbox.surroundings."""

    arguments: Sequence[str] = ()
    files: Mapping[str, bytes] = {}


NOTHING = Surroundings()


class Program(NamedTuple):
    """What run_script takes."""

    payload: Dict[str, Any]
    limits: Dict[str, Any]


class Compiler:
    """Compiles for one slot, and remembers by content what came of it.

    Args:
        zygote: see run_script.
        caller: see run_script.
        is_single: whether candidates can start no process and write no file.
    """

    def __init__(self, zygote: socket.socket, caller: socket.socket, is_single: bool) -> None:
        self._zygote = zygote
        self._caller = caller
        self._is_single = is_single
        self._kept: "collections.OrderedDict[bytes, Union[bytes, str]]" = collections.OrderedDict()
        self._kept_bytes = 0
        self._faults: Dict[str, str] = {}

    def program(
        self, language: str, source: str, limits: Dict[str, Any], surroundings: Surroundings = NOTHING
    ) -> Program:
        """A program ready to be run.

        Args:
            surroundings: what it is given besides; its files are there when it is compiled, too.

        Raises:
            CompileError: it does not compile.
            UnsupportedLanguage: the runtime cannot run its language.
            InfrastructureFailure, Abandoned: see run_script.
        """
        if language == PYTHON:
            files = surroundings.files
            return Program(script(source, surroundings.arguments, files), with_room(limits, files))
        row = LANGUAGES[language]
        missing = self._missing(row)
        if missing:
            raise UnsupportedLanguage("%s: %s" % (language, missing))
        try:
            return self._program(row, source, limits, surroundings)
        except CompileError:
            fault = self.fault(language)  # or is it the runtime's?
            if fault:
                raise UnsupportedLanguage("%s: %s" % (language, fault)) from None
            raise

    def fault(self, language: str) -> str:
        """Why the runtime cannot run a language's programs, found out once by running one; empty where it can."""
        if language not in self._faults:
            self._faults[language] = self._find_fault(LANGUAGES[language])
        return self._faults[language]

    def _missing(self, language: Language) -> str:
        if self._is_single:
            return "at level landlock no file can be written and no process started: only python runs there"
        missing = [name for name in language.commands if shutil.which(name, path=_PATH) is None]
        return "the runtime has no command %s in %s" % (", ".join(missing), _PATH) if missing else ""

    def _find_fault(self, language: Language) -> str:
        if language.name == PYTHON:
            return ""
        missing = self._missing(language)
        if missing:
            return missing
        try:
            program = self._program(language, language.sample, _SAMPLE_LIMITS, NOTHING)
        except StoppedCompileError as error:
            raise InfrastructureFailure(
                "a sample in %s does not compile in time: %s" % (language.name, error)
            ) from None
        except CompileError as error:
            return "a sample does not compile: %s" % error
        output = run_script(self._zygote, program.limits, program.payload, b"", self._caller)
        if output.stdout == b"sample":
            return ""
        return "a sample does not run: %s" % (output.stderr[-_LAST_WORDS:].decode("utf-8", "replace") or output.report,)

    def _program(self, language: Language, source: str, limits: Dict[str, Any], surroundings: Surroundings) -> Program:
        files = surroundings.files
        hashed = hashlib.blake2b(("%s %s" % (language.name, source)).encode("utf-8", "surrogatepass"))
        if files:
            hashed.update(marshal.dumps(sorted(files.items()), 2))
        key = hashed.digest()
        found = self._kept.get(key)
        if found is None:
            found = self._compile(language, source, files, key)
        else:
            self._kept.move_to_end(key)
        if isinstance(found, str):
            raise CompileError(found)
        payload = {
            "mode": "execute",
            "files": {**files, language.product or language.source: found},
            "argv": (*language.run_command(limits), *surroundings.arguments),
            "environment": language.environment_under(limits),
            "is_own": language.is_executable,
            "out_of_memory": language.out_of_memory,
        }
        return Program(payload, with_room(limits_of(language, limits, len(found)), files))

    def _compile(self, language: Language, source: str, files: Mapping[str, bytes], key: bytes) -> Union[bytes, str]:
        """What is to be run, or why it cannot be. Raises StoppedCompileError."""
        content = source.encode("utf-8", "surrogatepass")
        name = language.source_name(source)
        payload = {
            "mode": "compile",
            "files": {name: content, **{other: files[other] for other in files if other != name}},
            "argv": language.compile_command(_LIMITS, name),
            "environment": language.environment_under(_LIMITS),
            "product": language.product,
            "is_own": language.is_executable,
        }
        output = run_script(self._zygote, with_room(limits_of(language, _LIMITS, 0), files), payload, b"", self._caller)
        words = _cleaned(output.stderr)
        outcome = outcome_of(output.report, output.notice)
        if output.report.reason is not None:
            raise StoppedCompileError(
                ("the compiler was stopped: %s\n%s" % (outcome and outcome.message, words)).strip()
            )
        if outcome is not None:
            made: Union[bytes, str] = words or "the compiler failed and said nothing"
        else:
            made = output.stdout if language.product else content
        self._keep(key, made)
        return made

    def _keep(self, key: bytes, made: Union[bytes, str]) -> None:
        self._kept[key] = made
        self._kept_bytes += len(made)
        while self._kept_bytes > _MOST_KEPT and len(self._kept) > 1:
            self._kept_bytes -= len(self._kept.popitem(last=False)[1])


def with_room(limits: Dict[str, Any], files: Mapping[str, bytes]) -> Dict[str, Any]:
    """What a program's process gets so that the files it is given take nothing of what its limits say."""
    if not files:
        return limits
    pages = sum(len(content) // _PAGE + 2 + name.count("/") for name, content in files.items())
    return {
        **limits,
        "memory_bytes": limits["memory_bytes"] + _TIMES_IN_MEMORY * _PAGE * pages,
        "disk_bytes": limits["disk_bytes"] + _PAGE * pages,
    }


def _cleaned(words: bytes) -> str:
    """A compiler's words, of many the first and last, without what differs from run to run or tells of the place."""
    if len(words) > _MOST_WORDS:
        words = words[: _MOST_WORDS - _LAST_WORDS] + b"\n...\n" + words[-_LAST_WORDS:]
    text = words.decode("utf-8", "replace")
    return _PASSING_FILE.sub(r"main.\1", text).replace("/tmp/", "").strip()
