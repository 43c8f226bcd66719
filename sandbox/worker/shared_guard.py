"""Notice what a program changes to have tests say yes: unittest, builtins, and `__eq__` that is true of everything.

It shares the interpreter, so that none of this is beyond its reach; it is beyond what programs do in passing.
"""

from __future__ import annotations

import builtins
import functools
import os
import sys
import types
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional

_GUARDED = ("numpy.testing", "pandas._testing", "pandas.testing", "unittest")
"""With all modules below them. Of other modules that are to be guarded only what they hold themselves."""
_MISSING = object()
_PATCHABLE = (
    "__import__", "breakpoint", "compile", "eval", "exec", "exit", "help", "input", "open", "print", "quit", "_",
)  # fmt: skip
"""What tests have reason to replace in builtins, for longer than a test too."""
_OWN_FILES = ("/", "<test ", "<prelude>", "<frozen ")
"""How the files begin whose code is not the program's."""
_COMPARISONS = ("__eq__", "__contains__")


class _Watched(NamedTuple):
    label: str
    owner: Any
    names: Mapping[str, Any]
    """What `owner` holds now."""
    saved: Dict[str, Any]
    """What it must hold."""
    closed: Optional[str] = None
    """How no function's name may begin that is added; empty: no function may be."""


class Snapshot:
    """What must not change, as it was when it was added."""

    def __init__(self, modules: List[str]) -> None:
        """Of builtins and of these modules, as far as they are loaded."""
        self._watched: List[_Watched] = []
        self._codes: List[Any] = []
        guarded = {name: value for name, value in vars(builtins).items() if name not in _PATCHABLE}
        self._watched.append(_Watched("builtins", builtins, vars(builtins), guarded))
        names = [name for name in sys.modules if name in modules or name.startswith(_GUARDED)]
        self._watched.append(_Watched("sys.modules", sys, sys.modules, {name: sys.modules[name] for name in names}))
        for name in names:
            module = sys.modules[name]
            self._watched.append(_Watched(name, module, vars(module), _behaviour(vars(module))))
            if name.startswith(_GUARDED):
                self._watch_definitions(name, vars(module))
        self._own_watched, self._own_codes = len(self._watched), len(self._codes)

    def _watch_definitions(self, module: str, names: Mapping[str, Any]) -> None:
        self._watch_codes(names, module)
        for value in list(names.values()):
            if isinstance(value, type) and value.__module__ == module:
                label = "%s.%s" % (module, value.__qualname__)
                self._watched.append(_Watched(label, value, vars(value), _behaviour(vars(value)), ""))
                self._watch_codes(vars(value), module)

    def watch_tests(self, owners: List[Any]) -> None:
        """Functions and classes that test code has defined in its module and classes; those watched before no more."""
        del self._watched[self._own_watched :], self._codes[self._own_codes :]
        for part in dict.fromkeys(part for owner in owners for part in getattr(owner, "__mro__", (owner,))):
            saved = {name: value for name, value in vars(part).items() if _is_of_tests(value)}
            self._watch_codes(saved, None)
            closed = "__" if isinstance(part, type) and saved else None
            if closed is not None:
                saved.update((name, value) for name, value in _behaviour(vars(part)).items() if name.startswith("__"))
            self._watched.append(_Watched(part.__name__, part, vars(part), saved, closed))

    def _watch_codes(self, names: Mapping[str, Any], module: Optional[str]) -> None:
        for value in names.values():
            function = getattr(value, "__func__", value)
            if type(function) is types.FunctionType and module in (None, function.__module__):
                self._codes.append((function, function.__code__, function.__defaults__))

    def restore(self) -> List[str]:
        """Undo all changes; the names of what was changed."""
        changed = []
        for function, code, defaults in self._codes:
            if function.__code__ is not code or function.__defaults__ is not defaults:
                changed.append(function.__qualname__)
                function.__code__, function.__defaults__ = code, defaults
        for watched in self._watched:
            for name, value in watched.saved.items():
                if watched.names.get(name, _MISSING) is not value:
                    changed.append("%s.%s" % (watched.label, name))
                    if isinstance(watched.names, dict):
                        watched.names[name] = value
                    else:
                        setattr(watched.owner, name, value)
            if watched.closed is not None:
                for name in _behaviour(watched.names):
                    if name.startswith(watched.closed) and name not in watched.saved:
                        changed.append("%s.%s" % (watched.label, name))
                        delattr(watched.owner, name)
        return changed


def _behaviour(names: Mapping[str, Any]) -> Dict[str, Any]:
    """What can be called or is asked for attributes; plain settings such as maxDiff are for tests to change."""
    return {name: value for name, value in names.items() if callable(value) or hasattr(value, "__get__")}


def _is_of_tests(value: Any) -> bool:
    if isinstance(value, type):
        return any(_is_of_tests(member) for member in vars(value).values())
    function = getattr(value, "__func__", value)
    return type(function) is types.FunctionType and function.__code__.co_filename.startswith(("<test ", "<prelude>"))


class Liars:
    """Classes of the program whose objects claim to be equal to, or to contain, what they cannot know.

    A comparison that is asked by the tests or by unittest, and is true, is asked again about an object that was never
    seen before. Where that is true too, the class is a liar.
    """

    def __init__(self) -> None:
        self.found: List[str] = []
        self._build = build = builtins.__build_class__

        def build_class(function: Any, name: str, /, *bases: Any, **options: Any) -> Any:
            made = build(function, name, *bases, **options)
            if isinstance(made, type):
                self._wrap(made)
            return made

        builtins.__build_class__ = build_class

    def look_at_classes(self) -> None:
        """Those that no class statement made, or that were changed after it, too."""
        unseen: List[Any] = [object]
        seen = set()
        while unseen:
            cls = unseen.pop()
            if cls in seen:
                continue
            seen.add(cls)
            self._wrap(cls)
            unseen += type.__subclasses__(cls)

    def _wrap(self, cls: type) -> None:
        for name in _COMPARISONS:
            method = vars(cls).get(name)
            if type(method) is types.FunctionType and _is_of_program(method.__code__):
                try:
                    type.__setattr__(cls, name, self._doubted(method))
                except TypeError:
                    pass  # a class that cannot be changed

    def _doubted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        found, qualified = self.found, method.__qualname__

        @functools.wraps(method)
        def compare(self: Any, other: Any) -> Any:
            answer = method(self, other)
            if (
                not _is_of_program(sys._getframe(1).f_code)
                and _is_true(answer)
                and _is_said_of_all(method, self, other)
            ):
                found.append(qualified)
                return False
            return answer

        return compare


def _is_of_program(code: types.CodeType) -> bool:
    return not code.co_filename.startswith(_OWN_FILES)


def _is_true(answer: Any) -> bool:
    try:
        return answer is not NotImplemented and bool(answer)
    except Exception:
        return False  # an array, for one


def _is_said_of_all(method: Callable[..., Any], mine: Any, other: Any) -> bool:
    number = int.from_bytes(os.urandom(12), "big")
    stranger = {
        bool: object(), bytes: b"%d" % number, dict: {number: number}, float: float(number), int: number,
        list: [number], set: {number}, str: str(number), tuple: (number,),
    }.get(type(other), object())  # fmt: skip
    for unknown in (object(), stranger):
        try:
            if _is_true(method(mine, unknown)):
                return True
        except Exception:
            pass  # it can tell that it cannot be compared
    return False
