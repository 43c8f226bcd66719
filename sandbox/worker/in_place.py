"""What a program did to its arguments, done to the caller's own objects."""

from __future__ import annotations

import collections
from typing import Any

from .codec import SCALARS


def restore(old: Any, new: Any) -> bool:
    """Give the mutable `old` the contents of `new`, keeping the identity of what it holds where shapes agree.

    Returns:
        Whether `old` now equals `new`. Where not, it cannot be changed into it, and the caller must replace it.
    """
    if type(old) is not type(new):
        return False
    if type(old) is list:
        if len(old) == len(new):
            for index, (before, after) in enumerate(zip(old, new)):
                if type(before) in SCALARS or not restore(before, after):
                    old[index] = after
        else:
            old[:] = new
        return True
    if type(old) is tuple:
        return len(old) == len(new) and all(map(_same_or_restored, old, new))
    if type(old) is dict:
        merged = {}
        for key, after in new.items():
            before = old.get(key)
            merged[key] = before if restore(before, after) else after
        old.clear()
        old.update(merged)
        return True
    if type(old) in (set, collections.Counter, collections.OrderedDict, collections.defaultdict):
        old.clear()
        old.update(new)
        return True
    if type(old) in (collections.deque, bytearray):
        old.clear()
        old.extend(new)
        return True
    if getattr(type(old), "__module__", "") == "numpy" and hasattr(old, "shape") and old.shape == new.shape != ():
        old[...] = new
        return True
    return False


def _same_or_restored(old: Any, new: Any) -> bool:
    is_immutable = type(old).__hash__ is not None
    return restore(old, new) or (is_immutable and type(old) is type(new) and bool(old == new))
