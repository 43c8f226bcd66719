"""Whether test code can leave anything behind in its process: where not, the next submission can be judged in it.

Said of an author's code, which is trusted, by its text: what looks like a change to a module's state, or like a use of
a module that has any, is taken for one. What test code binds itself is bound anew for each submission.
"""

from __future__ import annotations

import ast
import builtins
import importlib
from typing import Dict, Sequence, Set, Union

from .nodes import walk

_STATELESS = frozenset((
    "bisect", "cmath", "collections", "collections.abc", "copy", "dataclasses", "datetime", "decimal", "enum",
    "fractions", "functools", "heapq", "itertools", "json", "math", "numpy", "operator", "re", "statistics", "string",
    "typing",
))  # fmt: skip
"""Modules whose functions change nothing but their arguments; but for these names in them:"""
_STATEFUL_NAMES = frozenset((
    "getcontext", "localcontext", "setcontext", "DefaultContext", "BasicContext", "ExtendedContext",  # decimal
    "random", "seterr", "seterrcall", "errstate", "set_printoptions", "setbufsize",  # numpy
    "register", "copyreg",
))  # fmt: skip
_STATEFUL_BUILTINS = frozenset((
    "__import__", "breakpoint", "compile", "delattr", "eval", "exec", "exit", "globals", "input", "open", "quit",
    "setattr", "vars",
))  # fmt: skip


def leaves_nothing(pieces: Sequence[Union[str, ast.Module]]) -> bool:
    """Whether pieces of code that run in one namespace, the prelude among them, change nothing outside it."""
    try:
        trees = [ast.parse(piece) if isinstance(piece, str) else piece for piece in pieces]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    imported = _Imported()
    nodes = [node for tree in trees for node in walk(tree)]
    used = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    return all(map(imported.note, nodes)) and all(_is_harmless(node, imported, id(node) in used) for node in nodes)


class _Imported:
    """What names stand for that code imports, under whatever scope."""

    def __init__(self) -> None:
        self.modules: Dict[str, str] = {}
        self.others: Set[str] = set()
        """Things of modules without a state, which may be called and not changed."""
        self.harmful: Set[str] = set()

    def note(self, node: ast.AST) -> bool:
        """Whether what an import brings can be known."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                self.modules[alias.asname or alias.name.partition(".")[0]] = alias.name
        elif isinstance(node, ast.ImportFrom):
            names = {alias.asname or alias.name for alias in node.names}
            if node.level or node.module not in _STATELESS or (node.module == "numpy" and "*" in names):
                self.harmful |= names
                return "*" not in names
            self.others |= set(dir(importlib.import_module(node.module))) if "*" in names else names
        return True

    def is_own(self, target: ast.AST) -> bool:
        """Whether what is changed hangs on a name that code has given to something of its own."""
        while isinstance(target, (ast.Attribute, ast.Subscript)):
            target = target.value
        return isinstance(target, ast.Name) and not (
            target.id in self.modules or target.id in self.others or hasattr(builtins, target.id)
        )


def _is_harmless(node: ast.AST, imported: _Imported, is_base: bool) -> bool:
    """Args: is_base, whether an attribute of the node is what is meant."""
    if isinstance(node, ast.Name):
        if node.id in _STATEFUL_BUILTINS or node.id in _STATEFUL_NAMES or node.id.startswith("__"):
            return isinstance(node.ctx, ast.Store) and not node.id.startswith("__")
        if node.id in imported.modules:  # by another name it would not be known any more
            return is_base and imported.modules[node.id] in _STATELESS
        return node.id not in imported.harmful
    if isinstance(node, ast.Attribute):
        if node.attr in _STATEFUL_NAMES or (node.attr.startswith("_") and not imported.is_own(node.value)):
            return False
        if node.attr.startswith("__") and node.attr != "__init__":
            return False
        return isinstance(node.ctx, ast.Load) or imported.is_own(node.value)
    if isinstance(node, ast.Subscript):
        return isinstance(node.ctx, ast.Load) or imported.is_own(node.value)
    return True
