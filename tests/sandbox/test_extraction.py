from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.extraction import extract_code

# Text without a fence character, so that a drawn line can neither open nor close a block.
LINES = st.lists(
    st.text(st.characters(exclude_characters="`~\r\n", exclude_categories=("Cs",)), max_size=20), max_size=5
)
CODE = LINES.map("\n".join).filter(str.strip)
PROSE = LINES.map("\n".join)
TAG = st.sampled_from(["", "python", "py", "Python3", "PYTHON", " python", "python3.11", "{.python}", "python:main.py"])
MARKS = st.sampled_from(["```", "````", "~~~", "~~~~~"])


@given(PROSE, TAG, MARKS, CODE, PROSE)
def test_a_fenced_block_is_returned_as_it_stands(before: str, tag: str, marks: str, code: str, after: str) -> None:
    assert extract_code(f"{before}\n{marks}{tag}\n{code}\n{marks}\n{after}") == code


@given(st.lists(CODE, min_size=1, max_size=5), PROSE, MARKS)
def test_last_and_first_name_the_blocks_at_the_ends(blocks: list[str], prose: str, marks: str) -> None:
    completion = prose.join(f"\n{marks}python\n{code}\n{marks}\n" for code in blocks)
    assert extract_code(completion) == blocks[-1]
    assert extract_code(completion, "first") == blocks[0]


@given(PROSE, MARKS, CODE)
def test_an_unclosed_block_ends_with_the_completion(before: str, marks: str, code: str) -> None:
    assert extract_code(f"{before}\n{marks}python\n{code}") == code


@given(CODE, MARKS)
def test_crlf_becomes_lf(code: str, marks: str) -> None:
    completion = f"text\n{marks}python\n{code}\n{marks}\nbye\n"
    assert extract_code(completion.replace("\n", "\r\n")) == code


@given(PROSE)
def test_no_fence_is_no_code(prose: str) -> None:
    assert extract_code(prose) is None
    assert extract_code(prose, "first") is None


@given(st.text("`~ \t\npyx", max_size=60))
def test_any_text_is_accepted_and_a_block_is_part_of_it(completion: str) -> None:
    for which in ("last", "first"):
        code = extract_code(completion, which)
        assert code is None or all(line.strip() in completion for line in code.split("\n"))


@pytest.mark.parametrize("tag", ["bash", "javascript", "c++", "text", "json", "python2", "pycon", "python-repl"])
def test_blocks_in_other_languages_do_not_count(tag: str) -> None:
    assert extract_code(f"```{tag}\nx = 1\n```") is None
    assert extract_code(f"```python\nx = 1\n```\nRun it:\n```{tag}\npython x.py\n```") == "x = 1"


@pytest.mark.parametrize(
    ("completion", "code"),
    [
        pytest.param("1. First:\n   ```python\n   def f():\n       pass\n   ```", "def f():\n    pass", id="list item"),
        pytest.param("- a\n\t```python\n\tx = 1\n\t```", "x = 1", id="list item indented by a tab"),
        pytest.param(
            '```python\ndef f():\n    """\n    ```\n    f()\n    ```\n    """\n```\ntext',
            'def f():\n    """\n    ```\n    f()\n    ```\n    """',
            id="fences in a docstring belong to the program",
        ),
        pytest.param(
            "````python\ns = '''\n```\n'''\n````", "s = '''\n```\n'''", id="a longer fence holds a shorter one"
        ),
        pytest.param("~~~python\n```\n~~~", "```", id="the other character does not close"),
        pytest.param("```python\nx = 1\n```   \n", "x = 1", id="blanks after the closing fence"),
        pytest.param("```python\nx = 1\n``` y", "x = 1", id="a closing fence with text after it ends the block too"),
        pytest.param("```markdown\n```python\nx = 1\n```\n```\nBye", "x = 1", id="a block quoted in Markdown"),
        pytest.param("```python\nx = 1\n\n```python\ny = 2\n```\nBye", "y = 2", id="the block before was never closed"),
        pytest.param("```bash\npip\n```python\ny = 2\n```", "y = 2", id="the shell block before was never closed"),
        pytest.param("Here it is: ```python\nx = 1\n```", "x = 1", id="opened at the end of a sentence"),
        pytest.param("Use ```x``` there", None, id="inline code"),
        pytest.param("It ends in ```\nx = 1\n", None, id="a bare fence at the end of a sentence is none"),
        pytest.param("```python\n```", None, id="an empty block holds no program"),
        pytest.param("```python\n \n```\n", None, id="nor does a blank one"),
        pytest.param("```python\nx = 1\n```\n```\n\n```", "x = 1", id="a blank block is passed over"),
        pytest.param("```", None, id="nothing but a fence"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_what_models_write(completion: str, code: str | None) -> None:
    assert extract_code(completion) == code


def test_an_unknown_choice_is_an_error() -> None:
    with pytest.raises(ValueError, match="'longest'"):
        extract_code("", "longest")  # type: ignore[arg-type]


@pytest.mark.parametrize("unit", ["`", "~", " ", "a ", "```\n", "```python\n", "`` ", "\t"])
def test_time_is_linear_in_the_length_of_a_hostile_completion(unit: str) -> None:
    completion = "x ```python " + unit * 50_000 + "\n    ```" + unit * 50_000 + "b"
    started = time.process_time()
    extract_code(completion)
    # A quadratic pattern needs half a minute and more here, a linear one a fraction of a second.
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("language", "tags"),
    [
        ("c", ["c", "C", "c17"]),
        ("cpp", ["cpp", "c++", "C++", "cxx", "cc", "c++17", "cpp20", "{.cpp}", "cpp:main.cpp"]),
        ("javascript", ["js", "javascript", "JavaScript", "node"]),
        ("bash", ["bash", "sh", "shell"]),
        ("go", ["go", "golang"]),
        ("rust", ["rust", "rs"]),
        ("java", ["java", "Java", "java17"]),
    ],
)
def test_the_blocks_of_a_language_are_those_with_its_tags_and_those_without_one(language: str, tags: list[str]) -> None:
    others = "```python\nprint(1)\n```\n```text\n1\n```\n```cs\nx\n```\n"
    assert extract_code(others, language=language) is None
    for tag in tags:
        assert extract_code(f"```{tag}\nours\n```\n{others}", language=language) == "ours"
        assert extract_code(f"```{tag}\nours\n```") is None
    assert extract_code(f"```\nours\n```\n{others}", language=language) == "ours"
    assert extract_code(f"Here it is: ```{tags[0]}\nours\n```", language=language) == "ours"


def test_c_and_cpp_and_java_and_javascript_are_not_each_other() -> None:
    both = "```c\n1\n```\n```c++\n2\n```\n```java\n3\n```\n```javascript\n4\n```"
    assert [extract_code(both, language=name) for name in ("c", "cpp", "java", "javascript")] == ["1", "2", "3", "4"]


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(ValueError, match="'cobol'; known are python"):
        extract_code("```\n1\n```", language="cobol")
