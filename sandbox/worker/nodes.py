"""The nodes of a syntax tree that can say something of names, calls or statements.

Of test code most nodes are the numbers and texts of its inputs, a hundred thousand in a problem; `ast.walk` takes
several times as long, and builds an iterator for each of them.
"""

from __future__ import annotations

import ast
from typing import List

_SILENT = frozenset(
    [ast.Constant, *(kind for base in (ast.expr_context, ast.operator, ast.unaryop, ast.cmpop, ast.boolop)
                     for kind in base.__subclasses__())]
)  # fmt: skip
"""Types of nodes that are left out, none of which has another below it."""


def children(node: ast.AST) -> List[ast.AST]:
    """What stands directly in a node, in the order of its fields, but for constants, contexts and operators."""
    found: List[ast.AST] = []
    for name in node._fields:
        value = getattr(node, name, None)
        if type(value) is list:
            found += [item for item in value if type(item) not in _SILENT and isinstance(item, ast.AST)]
        elif type(value) not in _SILENT and isinstance(value, ast.AST):
            found.append(value)
    return found


def walk(tree: ast.AST) -> List[ast.AST]:
    """The node and all below it, in the order of `ast.walk`, but for constants, contexts and operators."""
    found = [tree]
    for node in found:
        found += children(node)  # and so the loop comes to them
    return found
