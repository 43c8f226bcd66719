"""The languages that programs may be in: one row each.

Python programs run in the warm interpreter itself (program.py). All others are one source file, which a command of the
runtime compiles or checks, and which is then executed (commands.py). What they need is found in PATH.
"""

from __future__ import annotations

import re
from typing import Any, Dict, Mapping, NamedTuple, Tuple

from .jar import CLASSES, JAR

STACK_BYTES = 112 << 20
"""Of a program's first thread, and the default of all that it starts; below the 128 MiB that the kernel always keeps
free under the stack."""
PYTHON = "python"
_MIB = 1 << 20
_MOST_MIB = 1 << 18
"""Of memory that a runtime is told of: some take no larger number."""


class Language(NamedTuple):
    """How programs in a language are compiled and run.

    The commands may hold {memory_mib} (the memory limit), {stack_mib}, {stack_kib} (a little less than the stack) and
    {source} (the source file's name).
    """

    name: str
    fence: str
    """Pattern of the tags, in lower case, by which Markdown names the language."""
    suffixes: Tuple[str, ...]
    """Of its source files."""
    source: str = ""
    """Name of the source file."""
    compile: Tuple[str, ...] = ()
    """Makes `product`, or only finds out whether the source is of the language; its failure is CE."""
    product: str = ""
    """The file that is run; empty: the source."""
    run: Tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    """Besides what every program gets; for both commands."""
    own_bytes: int = 0
    """Memory that the language's runtime takes for itself: programs get so much more."""
    own_threads: int = 0
    """Threads that the runtime starts for itself: programs get so many more."""
    out_of_memory: Tuple[bytes, ...] = ()
    """What the runtime writes to stderr when it fails for want of memory."""
    sample: str = ""
    """A program that writes `sample`, by which it is found out whether the language works."""

    @property
    def is_executable(self) -> bool:
        """Whether what is made is executed itself."""
        return self.run == ("./" + self.product,)

    @property
    def own_names(self) -> Tuple[str, ...]:
        """What lies in the working folder of a program that runs or is compiled, besides what it is given."""
        if self.name == PYTHON:
            return ("main.py",)
        names = (self.source, self.product, CLASSES if self.product == JAR else "")
        return tuple(name for name in names if name)

    @property
    def commands(self) -> Tuple[str, ...]:
        """What must be there."""
        names = [command[0] for command in (self.compile, self.run) if command and "/" not in command[0]]
        return tuple(dict.fromkeys(names))

    def source_name(self, source: str) -> str:
        """Of the file that holds a source: javac wants that of the public class."""
        found = list(_PUBLIC_CLASS.finditer(_COMMENT.sub(" ", source))) if self.name == "java" else []
        outermost = min(found, key=lambda match: len(match.group(1)), default=None)
        return outermost.group(2) + ".java" if outermost else self.source

    def run_command(self, limits: Mapping[str, Any]) -> Tuple[str, ...]:
        """The command under the limits of a run, and its environment's."""
        return tuple(_filled(word, limits, self.source) for word in self.run)

    def compile_command(self, limits: Mapping[str, Any], source: str) -> Tuple[str, ...]:
        """The command for a source file of this name."""
        return tuple(_filled(word, limits, source) for word in self.compile)

    def environment_under(self, limits: Mapping[str, Any]) -> Dict[str, str]:
        """The environment's values under the limits of a run."""
        return {name: _filled(value, limits, self.source) for name, value in self.environment.items()}


_COMMENT = re.compile(r"/\*(?:[^*]|\*(?!/))*(?:\*/)?|//[^\n]*")  # to the end where it has none: no source takes long
# Where a declaration can begin; the indentation tells the nested ones. A longer name fits no file.
_PUBLIC_CLASS = re.compile(
    r"(?:^|[;}])([ \t]*)public[ \t]+(?:(?:final|abstract|strictfp|sealed|non-sealed)[ \t]+)*"
    r"(?:class|interface|enum|record)[ \t]+((?!\d)[\w$]{1,100})(?![\w$])",
    re.MULTILINE,
)
_JVM = ("-XX:+UseSerialGC", "-XX:ActiveProcessorCount=1", "-XX:-UsePerfData")
"""A slot is one core: more would only wait for each other."""
_JAVA_SAMPLE = 'class Main { public static void main(String[] words) { System.out.print("sample"); } }'

LANGUAGES: Dict[str, Language] = {
    row.name: row
    for row in (
        Language(name=PYTHON, fence=r"(?:python|py)(?:3(?:\.\d+)?)?", suffixes=(".py",)),
        Language(
            name="c",
            fence=r"c(?:\d\d)?",
            suffixes=(".c",),
            source="main.c",
            compile=("gcc", "-O2", "-std=gnu17", "-o", "main", "{source}", "-lm"),
            product="main",
            run=("./main",),
            sample='#include <stdio.h>\nint main(void) { fputs("sample", stdout); return 0; }\n',
        ),
        Language(
            name="cpp",
            fence=r"(?:c\+\+|cpp|cxx|cc)(?:\d\d)?",
            suffixes=(".cpp", ".cc", ".cxx", ".C"),
            source="main.cpp",
            compile=("g++", "-O2", "-std=gnu++17", "-o", "main", "{source}"),
            product="main",
            run=("./main",),
            out_of_memory=(b"std::bad_alloc",),
            sample='#include <iostream>\nint main() { std::cout << "sample"; }\n',
        ),
        Language(
            name="rust",
            fence=r"rust|rs",
            suffixes=(".rs",),
            source="main.rs",
            compile=("rustc", "-O", "--edition", "2021", "-C", "strip=symbols", "-o", "main", "{source}"),
            product="main",
            run=("./main",),
            out_of_memory=(b"memory allocation of ",),
            sample='fn main() { print!("sample"); }\n',
        ),
        Language(
            name="go",
            fence=r"go|golang",
            suffixes=(".go",),
            source="main.go",
            compile=("go", "build", "-ldflags=-s -w", "-o", "main", "{source}"),
            product="main",
            run=("./main",),
            environment={
                "CGO_ENABLED": "0",
                "GO111MODULE": "off",
                "GOCACHE": "/tmp/.cache",
                "GOMAXPROCS": "1",
                "GOMEMLIMIT": "{memory_mib}MiB",  # collect rather than exceed it
                "GOPATH": "/tmp/.go",
                "GOTOOLCHAIN": "local",
            },
            own_bytes=16 * _MIB,
            own_threads=8,
            out_of_memory=(b"runtime: out of memory", b"runtime: cannot allocate memory"),
            sample='package main\n\nimport "fmt"\n\nfunc main() { fmt.Print("sample") }\n',
        ),
        Language(
            name="java",
            fence=r"java(?:\d\d?)?",
            suffixes=(".java",),
            source="Main.java",
            compile=(
                "javac", *("-J" + option for option in _JVM), "-J-Xmx1g", "-encoding", "UTF-8", "-proc:none", "-nowarn",
                "-d", CLASSES, "{source}",
            ),
            product=JAR,
            run=("java", *_JVM, "-Xmx{memory_mib}m", "-Xss{stack_mib}m", "-jar", JAR),
            own_bytes=128 * _MIB,
            own_threads=24,
            out_of_memory=(b"java.lang.OutOfMemoryError",),
            sample=_JAVA_SAMPLE,
        ),
        Language(
            name="javascript",
            fence=r"javascript|js|node|nodejs",
            suffixes=(".js", ".cjs"),
            source="main.js",
            compile=("node", "--check", "{source}"),
            run=("node", "--stack-size={stack_kib}", "--max-old-space-size={memory_mib}", "{source}"),
            own_bytes=96 * _MIB,
            own_threads=12,
            out_of_memory=(b"JavaScript heap out of memory", b"Array buffer allocation failed"),
            sample='process.stdout.write("sample");\n',
        ),
        Language(
            name="bash",
            fence=r"bash|sh|shell",
            suffixes=(".sh", ".bash"),
            source="main.sh",
            compile=("bash", "-n", "{source}"),
            run=("bash", "{source}"),
            sample="printf sample\n",
        ),
    )
}  # fmt: skip
NAMES = tuple(LANGUAGES)


def limits_of(language: Language, limits: Mapping[str, Any], file_bytes: int) -> Dict[str, Any]:
    """What a program's process gets so that the program has what its limits say.

    Args:
        file_bytes: of the files that lie in its folder when it starts.
    """
    processes = limits["processes"] + language.own_threads
    return {
        **limits,
        "memory_bytes": limits["memory_bytes"] + language.own_bytes + file_bytes,
        "disk_bytes": limits["disk_bytes"] + file_bytes + _MIB,
        "processes": processes,
        # Stacks of threads and heaps that are asked for as a whole, of which little is ever used.
        "reserved_bytes": processes * STACK_BYTES + 2 * limits["memory_bytes"] + (4 << 30),
    }


def language_of(suffix: str) -> str:
    """The language of a source file, by its suffix; Python where that says nothing."""
    return next((row.name for row in LANGUAGES.values() if suffix in row.suffixes), PYTHON)


def check_known(name: str) -> None:
    """Raises ValueError, with the names that there are, where a language is not one of them."""
    if name not in LANGUAGES:
        raise ValueError("language is %r; known are %s" % (name, ", ".join(NAMES)))


def _filled(word: str, limits: Mapping[str, Any], source: str) -> str:
    return word.format(
        memory_mib=min(limits["memory_bytes"] // _MIB, _MOST_MIB),
        stack_mib=STACK_BYTES // _MIB,
        stack_kib=(STACK_BYTES - 8 * _MIB) // 1024,
        source=source,
    )
