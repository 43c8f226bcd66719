"""What javac made as one file that java runs. Source: the JAR File Specification; JVMS 4, the class file."""

from __future__ import annotations

import errno
import importlib
import os

JAR = "main.jar"
CLASSES = "classes"
"""The folder that javac fills."""
# Entries of a class file's pool of constants: the name and the type of the method that java starts.
_MAIN = b"\x01\x00\x04main"
_MAIN_TYPE = b"\x01\x00\x16([Ljava/lang/String;)V"


_LINE = 70
"""Bytes of a line of a manifest, without its end; what is longer goes on after a blank."""


def pack_classes(preferred: str) -> None:
    """Make the jar of the classes.

    Args:
        preferred: name of the class to be run; where it has no `main`, the first in order that has one is.

    Raises:
        OSError: there is no class.
    """
    zipfile = importlib.import_module("zipfile")  # too large to be in every run
    paths = sorted(
        (name != preferred + ".class", os.path.relpath(os.path.join(folder, name), CLASSES))
        for folder, _, files in os.walk(CLASSES)
        for name in files
        if name.endswith(".class")
    )
    names = [name for _, name in paths]
    if not names:
        raise OSError(errno.ENOENT, "the source declares no class")
    main = next((name for name in names if _has_main(os.path.join(CLASSES, name))), names[0])
    line = b"Main-Class: " + os.fsencode(main[: -len(".class")].replace("/", "."))
    lines = [line[start : start + _LINE] for start in range(0, len(line), _LINE)]
    with zipfile.ZipFile(JAR, "w") as file:
        file.writestr("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\n%s\n" % b"\n ".join(lines))
        for name in names:
            file.write(os.path.join(CLASSES, name), name)


def _has_main(path: str) -> bool:
    with open(path, "rb") as file:
        content = file.read()
    return _MAIN in content and _MAIN_TYPE in content
