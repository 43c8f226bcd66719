"""Runs inside an image, under its own Python (>= 3.8, standard library only): says what the image has.

Prints one line of JSON: `version`; `folders` and `links` directly below the root that programs are to see; `files`
below /etc likewise, each with where it is in truth; `path`, where its third-party packages are.
"""

import glob
import json
import os
import site
import sys
from typing import Any, Dict

_OURS_OR_PRIVATE = ("proc", "sys", "dev", "tmp", "run", "home", "root", "mnt", "media", "boot", "srv", "var", "etc")
"""What the root of a program gets anew, and what an image may hold that is nobody's business."""
_FILES = (
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime", "/etc/alternatives", "/etc/java*",
)  # fmt: skip


def look() -> Dict[str, Any]:
    """What the image has; see above."""
    folders, links = [], {}
    device = os.stat("/").st_dev
    for name in sorted(os.listdir("/")):
        path = "/" + name
        if name in _OURS_OR_PRIVATE or name.startswith("."):
            continue
        if os.path.islink(path):
            links[path] = os.readlink(path)
        elif (
            os.path.isdir(path) and os.stat(path).st_dev == device
        ):  # else it is no part of the image: a site's own mount
            folders.append(path)
    for prefix in (sys.base_prefix, sys.base_exec_prefix):
        real = os.path.realpath(prefix)
        if not any((real + "/").startswith(folder + "/") for folder in folders):
            folders.append(real)
    files = [path for pattern in _FILES for path in glob.glob(pattern)]
    packages = [path for path in site.getsitepackages() if os.path.isdir(path)]
    return {
        "version": list(sys.version_info[:3]),
        "folders": folders,
        "links": links,
        "files": {path: os.path.realpath(path) for path in files if os.path.exists(path)},
        "path": packages,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(look()) + "\n")
