"""The versions of the languages that programs are run in, measured where they run."""

from __future__ import annotations

import re

from starlette.concurrency import run_in_threadpool

from sandbox.limits import MIB, Limits
from sandbox.pool import Sandbox
from sandbox.worker.languages import PYTHON

# Run by the sandbox's bash, which finds what its compilers and interpreters are.
_COMMANDS = {
    "c": "gcc -dumpfullversion",
    "cpp": "g++ -dumpfullversion",
    "rust": "rustc --version",
    "go": "go version",
    "java": "java -Xlog:disable -XX:+UseSerialGC -Xmx64m -version 2>&1",
    "javascript": "node --version",
    "bash": "echo $BASH_VERSION",
}
_LIMITS = Limits(memory_bytes=4096 * MIB)
"""A virtual machine asks for much address space and uses little of it."""
_VERSION = re.compile(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?")
UNKNOWN = "0.0.0"


class Versions:
    """Of one sandbox, as three numbers; each is measured when it is first asked for."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._known = {PYTHON: version_in(sandbox.enforcement.python)}

    async def of(self, language: str) -> str:
        """That of a language; UNKNOWN where it does not tell.

        Raises:
            SandboxError: the host failed, or the sandbox is closed.
        """
        if language not in self._known:
            self._known[language] = await run_in_threadpool(self._measure, language)
        return self._known[language]

    def _measure(self, language: str) -> str:
        if "bash" not in self._sandbox.languages:
            return UNKNOWN
        told = self._sandbox.run(_COMMANDS[language], limits=_LIMITS, language="bash")
        return version_in(told.stdout.decode(errors="replace")) if told.exit_code == 0 else UNKNOWN


def version_in(text: str) -> str:
    """The first version in a text, with zeros for what it does not say; UNKNOWN where there is none."""
    found = _VERSION.search(text)
    return ".".join(number or "0" for number in found.groups()) if found else UNKNOWN
