import pytest

from sandbox.errors import ProblemError
from sandbox.records import ProblemRecord
from sandbox.server.errors import TooLargeError, UnknownProblemsError
from sandbox.server.problems import Problems, check
from sandbox.wire import key_of


def problem(name: str, size: int = 0) -> ProblemRecord:
    return ProblemRecord(id=name, prelude="#" + "x" * size, tests=["assert f() == 1"])


def put(held: Problems, records: list[ProblemRecord]) -> list[str]:
    return held.hold(check(records))


def test_problems_are_named_by_what_judges() -> None:
    held = Problems(10**6)
    first, again, other = put(
        held, [problem("a"), problem("a").model_copy(update={"prompt": "another"}), problem("a", size=1)]
    )
    assert first == again == key_of(problem("a"))
    assert other != first
    assert len(held) == 2
    assert held.get([first])[first].id == "a"


def test_what_no_judge_reads_is_not_held() -> None:
    held = Problems(10**6)
    record = problem("a").model_copy(update={"prompt": "p" * 10**7, "meta": {"m": "m" * 10**7}})
    [key] = put(held, [record])
    assert (held.get([key])[key].prompt, held.get([key])[key].meta) == ("", {})


def test_what_was_used_longest_ago_makes_room() -> None:
    held = Problems(4000)
    a, b, c = (put(held, [problem(name)])[0] for name in "abc")
    held.get([a])
    [d] = put(held, [problem("d")])
    assert set(held.get([a, c, d])) == {a, c, d}
    with pytest.raises(UnknownProblemsError) as caught:
        held.get([a, b])
    assert caught.value.keys == [b]
    assert held.size <= 4000


def test_all_are_taken_or_none() -> None:
    held = Problems(10**6)
    with pytest.raises(ProblemError) as caught:
        put(held, [problem("a"), ProblemRecord(id="bad", tests=["assert ("])])
    assert (caught.value.problem_id, caught.value.field) == ("bad", "tests")
    assert (len(held), held.size) == (0, 0)


def test_more_than_may_ever_be_held_is_refused() -> None:
    held = Problems(3000)
    with pytest.raises(TooLargeError):
        put(held, [problem("a", size=3000)])
    assert (len(held), held.size) == (0, 0)
