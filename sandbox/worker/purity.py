"""Whether test code can leave anything behind in its process: where not, the next submission can be judged in it.

Said of an author's code, which is trusted, by its text: what looks like a change to a module's state, or like a use of
a module that has any, is taken for one. What test code binds itself is bound anew for each submission.
"""

from __future__ import annotations

import ast
from typing import Dict, Iterable, Optional, Sequence

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


def leaves_nothing(pieces: Sequence[str]) -> bool:
    """Whether pieces of code that run in one namespace, the prelude among them, change nothing outside it."""
    try:
        trees = [ast.parse(piece) for piece in pieces]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    modules: Dict[str, Optional[str]] = {}
    nodes = [node for tree in trees for node in ast.walk(tree)]
    return all(_note_import(node, modules) for node in nodes) and all(_is_harmless(node, modules) for node in nodes)


def _note_import(node: ast.AST, modules: Dict[str, Optional[str]]) -> bool:
    """Note what a name stands for: a module, or None for something of a module that has a state."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            modules[alias.asname or alias.name.partition(".")[0]] = alias.name
    elif isinstance(node, ast.ImportFrom) and (node.level or node.module not in _STATELESS):
        if any(alias.name == "*" for alias in node.names):
            return False
        modules.update(dict.fromkeys(alias.asname or alias.name for alias in node.names))
    return True


def _is_harmless(node: ast.AST, modules: Dict[str, Optional[str]]) -> bool:
    if isinstance(node, ast.Name):
        if isinstance(node.ctx, ast.Load) and node.id in _STATEFUL_BUILTINS | _STATEFUL_NAMES:
            return False
        return node.id not in modules or modules[node.id] in _STATELESS
    if isinstance(node, ast.Attribute):
        if node.attr in _STATEFUL_NAMES or (node.attr.startswith("__") and node.attr != "__init__"):
            return False
        return isinstance(node.ctx, ast.Load) or _is_own(node.value, modules)
    if isinstance(node, ast.Subscript):
        return isinstance(node.ctx, ast.Load) or _is_own(node.value, modules)
    return True


def _is_own(target: ast.AST, modules: Iterable[str]) -> bool:
    """Whether what is changed hangs on a name that is no module's."""
    while isinstance(target, (ast.Attribute, ast.Subscript)):
        target = target.value
    return isinstance(target, ast.Name) and target.id not in modules
