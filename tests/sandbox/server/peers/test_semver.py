"""Selectors of versions mean what npm's semver documents; its own examples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.server.peers.semver import satisfies


@pytest.mark.parametrize(
    ("selector", "inside", "outside"),
    [
        ("*", ["0.0.0", "9.9.9"], []),
        ("", ["0.0.0", "9.9.9"], []),
        ("x", ["1.2.3"], []),
        ("1.2.3", ["1.2.3"], ["1.2.2", "1.2.4"]),
        ("=1.2.3", ["1.2.3"], ["1.2.4"]),
        ("v1.2.3", ["1.2.3"], ["1.2.4"]),
        ("1.x", ["1.0.0", "1.9.9"], ["0.9.9", "2.0.0"]),
        ("1", ["1.0.0", "1.9.9"], ["2.0.0"]),
        ("1.2.*", ["1.2.0", "1.2.9"], ["1.3.0"]),
        ("~1.2.3", ["1.2.3", "1.2.9"], ["1.2.2", "1.3.0"]),
        ("~1.2", ["1.2.0"], ["1.3.0"]),
        ("~1", ["1.9.0"], ["2.0.0"]),
        ("^1.2.3", ["1.2.3", "1.9.0"], ["1.2.2", "2.0.0"]),
        ("^0.2.3", ["0.2.9"], ["0.3.0", "0.2.2"]),
        ("^0.0.3", ["0.0.3"], ["0.0.4"]),
        ("^0.0", ["0.0.9"], ["0.1.0"]),
        ("^0.x", ["0.9.0"], ["1.0.0"]),
        ("^1.2.x", ["1.2.0", "1.9.0"], ["2.0.0"]),
        (">=1.2.7 <1.3.0", ["1.2.7", "1.2.99"], ["1.2.6", "1.3.0"]),
        (">1.2", ["1.3.0"], ["1.2.9"]),
        ("<=1.2", ["1.2.9"], ["1.3.0"]),
        ("> 1.2.3", ["1.2.4"], ["1.2.3"]),
        ("<1.2", ["1.1.9"], ["1.2.0"]),
        ("1.2.7 || >=1.2.9 <2.0.0", ["1.2.7", "1.2.9", "1.4.6"], ["1.2.8", "2.0.0"]),
        ("1.2.3 - 2.3.4", ["1.2.3", "2.3.4"], ["1.2.2", "2.3.5"]),
        ("1.2 - 2", ["1.2.0", "2.9.9"], ["1.1.9", "3.0.0"]),
        ("latest", [], ["1.2.3"]),
        ("1.2.3.4", [], ["1.2.3"]),
        (">", [], ["1.2.3"]),
    ],
)
def test_examples(selector: str, inside: list[str], outside: list[str]) -> None:
    assert [version for version in inside if not satisfies(version, selector)] == []
    assert [version for version in outside if satisfies(version, selector)] == []


versions = st.tuples(*[st.integers(0, 50)] * 3).map(lambda numbers: ".".join(map(str, numbers)))


@given(versions)
def test_a_version_selects_itself_in_every_operator_that_includes_it(version: str) -> None:
    for operator in ("", "=", "~", "^", ">=", "<="):
        assert satisfies(version, operator + version)
    for operator in ("<", ">"):
        assert not satisfies(version, operator + version)


@given(versions, st.text(max_size=30))
def test_no_text_is_too_strange(version: str, selector: str) -> None:
    assert satisfies(version, selector) in (True, False)
