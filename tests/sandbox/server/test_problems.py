import pytest

from sandbox.errors import ProblemError
from sandbox.records import ProblemRecord
from sandbox.server.errors import TooLargeError, UnknownProblemsError
from sandbox.server.problems import Problems
from sandbox.wire import key_of


def problem(name: str, size: int = 0) -> ProblemRecord:
    return ProblemRecord(id=name, prelude="#" + "x" * size, tests=["assert f() == 1"])


def test_problems_are_named_by_what_judges() -> None:
    held = Problems(10**6)
    first, again, other = held.put(
        [problem("a"), problem("a").model_copy(update={"prompt": "another"}), problem("a", size=1)]
    )
    assert first == again == key_of(problem("a"))
    assert other != first
    assert len(held) == 2
    assert held.get([first])[first].id == "a"


def test_what_was_used_longest_ago_makes_room() -> None:
    held = Problems(4000)
    a, b, c = (held.put([problem(name)])[0] for name in "abc")
    held.get([a])
    [d] = held.put([problem("d")])
    assert set(held.get([a, c, d])) == {a, c, d}
    with pytest.raises(UnknownProblemsError) as caught:
        held.get([a, b])
    assert caught.value.keys == [b]
    assert held.size <= 4000


def test_all_are_taken_or_none() -> None:
    held = Problems(10**6)
    with pytest.raises(ProblemError) as caught:
        held.put([problem("a"), ProblemRecord(id="bad", tests=["assert ("])])
    assert (caught.value.problem_id, caught.value.field) == ("bad", "tests")
    assert (len(held), held.size) == (0, 0)


def test_more_than_may_ever_be_held_is_refused() -> None:
    held = Problems(3000)
    with pytest.raises(TooLargeError):
        held.put([problem("a", size=3000)])
    assert (len(held), held.size) == (0, 0)
