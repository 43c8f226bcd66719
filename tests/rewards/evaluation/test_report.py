from __future__ import annotations

import json
import re
from html.parser import HTMLParser

from rewards.evaluation.report import Facts, as_data, render
from rewards.evaluation.summary import summarise
from sandbox import Problem, Verdict
from sandbox.records import ResultRecord, Submission

HOSTILE = "</pre><script>alert(1)</script><img src=\"https://example.org/x\" onerror='alert(2)'>&amp;"
FACTS = Facts("problems.jsonl", "<b>samples</b>.jsonl", "userns")


def problem(name: str, **meta: str) -> Problem:
    return Problem(id=name, tests=("assert f()",), meta=meta)


PROBLEMS = [
    problem("easy", difficulty="easy"),
    problem(HOSTILE, difficulty=HOSTILE),
    problem("left out", difficulty="easy"),
]
SAMPLES = [Submission(PROBLEMS[place % 2], HOSTILE, None) for place in range(10)]


def result(place: int, verdict: Verdict) -> ResultRecord:
    return ResultRecord(
        problem_id=SAMPLES[place].problem.id,
        verdict=verdict,
        passed=0,
        total=1,
        pass_rate=0.0,
        tests=[],
        message=HOSTILE,
        cpu_s=0.0,
        wall_s=0.0,
        peak_memory_bytes=0,
        enforcement="userns",
        tamper_proof=True,
    )


VERDICTS = [verdict for verdict in Verdict if verdict is not Verdict.SKIPPED]  # which no submission gets
SUMMARY = summarise(PROBLEMS, [result(place, verdict) for place, verdict in enumerate(VERDICTS)], [1, 2])
PAGE = render(SUMMARY, SAMPLES, FACTS)


class Elements(HTMLParser):
    """All start tags with their attributes, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_nothing_of_a_sample_or_a_problem_becomes_an_element() -> None:
    page = Elements(PAGE)
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert page.texts.count(HOSTILE) >= 2  # the program, and the problem's id
    assert "<b>samples</b>.jsonl" in page.texts


def test_the_page_asks_for_nothing_outside_itself() -> None:
    asked = [
        value for _, attributes in Elements(PAGE).tags for value in (attributes.get("src"), attributes.get("href"))
    ]
    assert not any(asked)
    assert not re.search(r"url\(|@import", PAGE)
    assert "default-src 'none'" in PAGE


def test_it_tells_what_has_no_verdict_and_what_has_no_sample() -> None:
    text = " ".join("".join(Elements(PAGE).texts).split())
    assert "No verdict: 1 of 9 samples, because the host failed" in text
    assert "1 of 3 problems have no sample" in text
    assert "Counted as failed they would make it 8.3% at k = 1, 16.7% at k = 2." in text


def test_the_data_are_plain_and_say_how_they_were_found() -> None:
    data = json.loads(json.dumps(as_data(SUMMARY)))
    assert data["pass_at"]["1"]["problems"] == 2
    assert data["groups"]["easy"] == {
        "problems": 2,
        "attempted": 1,
        "solved": 1,
        "samples": 4,
        "pass_at": data["groups"]["easy"]["pass_at"],
    }
    assert data["not_attempted"] == ["left out"]
    assert data["host_failures"] == 1
    assert "bootstrap over problems" in data["method"]


def test_a_page_without_groups_failures_or_several_samples_is_whole() -> None:
    one = [problem("a")]
    samples = [Submission(one[0], "x", None)]
    row = result(0, Verdict.AC).model_copy(update={"problem_id": "a"})
    page = render(summarise(one, [row], [1]), samples, FACTS)
    assert "100.0%" in page
    assert "Why samples failed" not in page
    assert "share of their samples" not in page


def test_a_page_of_nothing_but_failures_of_the_host_is_whole() -> None:
    one = [problem("a")]
    row = result(0, Verdict.IE).model_copy(update={"problem_id": "a"})
    assert "No problem has enough judged samples" in render(
        summarise(one, [row], [1]), [Submission(one[0], "x", None)], FACTS
    )
