from sandbox.per_problem import PerProblem
from sandbox.problem import Problem


def made(number: int) -> Problem:
    return Problem(id=f"p{number}", tests=("assert True == f()",))


def test_a_value_is_computed_once_for_each_problem() -> None:
    asked: list[str] = []

    def compute(problem: Problem) -> str:
        asked.append(problem.id)
        return problem.id

    per_problem = PerProblem(compute)
    first, second = made(1), made(2)
    assert [per_problem.of(problem) for problem in (first, second, first, second)] == ["p1", "p2", "p1", "p2"]
    assert asked == ["p1", "p2"]


def test_equal_problems_are_told_apart() -> None:
    first, second = made(1), made(1)
    per_problem = PerProblem(id)
    assert (per_problem.of(first), per_problem.of(second)) == (id(first), id(second))


def test_nothing_is_kept_of_a_problem_that_is_gone() -> None:
    per_problem = PerProblem(lambda problem: problem.id)
    for number in range(10):
        assert per_problem.of(made(number)) == f"p{number}"
    assert len(per_problem) == 0
