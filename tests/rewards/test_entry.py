from rewards import Entry, extract_code
from sandbox import Kind, Problem
from sandbox.problem import StdioTest


def test_a_solution_is_answered_in_a_block_of_its_language() -> None:
    problem = Problem(id="p", kind=Kind.STDIO, language="cpp", tests=(StdioTest(stdin="", stdout=""),))
    answer = Entry(problem, "int main() {}\n").as_answer()
    assert answer == "```cpp\nint main() {}\n```"
    assert extract_code(answer, "last", "cpp") == "int main() {}"


def test_without_solution_there_is_no_answer() -> None:
    problem = Problem(id="p", tests=("assert f()",))
    assert Entry(problem).as_answer() is None
    assert Entry(problem, answer="See ```f = all```").as_answer() == "See ```f = all```"
