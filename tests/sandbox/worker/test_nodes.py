"""The walk that leaves out what says nothing."""

import ast

import pytest

from sandbox.worker.nodes import children, walk

SILENT = (ast.Constant, ast.expr_context, ast.operator, ast.unaryop, ast.cmpop, ast.boolop)
CODES = [
    "assert f([1, -2, [3.5, 'a'], {1: None, **g}]) == (not x or y < 2)",
    "def check(candidate):\n    for k in range(3):\n        assert candidate('a' * k)[0] == k\n    with a as b: pass",
    "@d\nclass A(B, metaclass=C):\n    x: int = 1\n    async def f(self, *a, k=2): return [i async for i in a if i]",
    "try:\n    x = f'{a!r:>{b}}'\nexcept (E, F) as e:\n    raise G from e\nfinally:\n    del x",
]


@pytest.mark.parametrize("code", CODES)
def test_all_other_nodes_come_in_the_order_of_ast(code: str) -> None:
    tree = ast.parse(code)
    assert walk(tree) == [node for node in ast.walk(tree) if not isinstance(node, SILENT)]


@pytest.mark.parametrize("code", CODES)
def test_nothing_stands_below_what_is_left_out(code: str) -> None:
    left_out = [node for node in ast.walk(ast.parse(code)) if isinstance(node, SILENT)]
    assert left_out
    assert not any(child for node in left_out for child in ast.iter_child_nodes(node))
    assert not any(children(node) for node in left_out)
