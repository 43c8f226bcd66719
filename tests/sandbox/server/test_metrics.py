import time
import timeit
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from sandbox import Sandbox
from sandbox.errors import InfrastructureError
from sandbox.result import RunResult
from sandbox.server.app import create_app
from sandbox.server.metrics import Metrics
from sandbox.server.observation import Observation
from sandbox.server.recent import Recent
from sandbox.server.settings import Settings
from sandbox.server.work import About
from sandbox.verdict import Verdict

ADD = {"id": "add", "tests": ["assert add(2, 2) == 4"]}


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    with Sandbox(workers=1) as box:
        yield box


@pytest.fixture
def client(box: Sandbox) -> Iterator[TestClient]:
    with TestClient(create_app(box, Settings(queued=64), "tok"), headers={"authorization": "Bearer tok"}) as client:
        yield client


def sample(client: TestClient, name: str, **labels: str) -> float | None:
    """Value of a series; None where there is none."""
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = [
        sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name == f"qrpo_sandbox_{name}" and sample.labels == labels
    ]
    assert len(found) <= 1
    return found[0] if found else None


def judge(client: TestClient, *codes: str) -> None:
    key = client.put("/v1/problems", json={"problems": [ADD]}).json()["keys"][0]
    body = {"submissions": [{"problem": key, "code": code} for code in codes]}
    assert client.post("/v1/judge", json=body).status_code == 200


def test_all_that_is_told_has_a_type_a_unit_in_its_name_and_a_sentence_of_help(client: TestClient) -> None:
    judge(client, "def add(a, b): return a + b")
    families = list(text_string_to_metric_families(client.get("/metrics").text))
    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert family.type in ("counter", "gauge", "histogram")
        assert family.documentation.endswith(".")
        assert family.type != "histogram" or family.name.endswith("_seconds")
        assert not family.name.endswith(("_created", "_ms", "_mb"))


def test_submissions_are_counted_by_kind_and_outcome(client: TestClient) -> None:
    judge(client, "def add(a, b): return a + b", "def add(a, b): return a + b", "def add(a, b): return 5")
    client.post("/v1/run", json={"programs": [{"code": "pass"}]})
    assert sample(client, "submissions_total", kind="judge", outcome="AC") == 2
    assert sample(client, "submissions_total", kind="judge", outcome="WA") == 1
    assert sample(client, "submissions_total", kind="run", outcome="AC") == 1


def test_each_submission_is_in_both_latency_histograms(client: TestClient) -> None:
    judge(client, "def add(a, b): return a + b", "import time\ntime.sleep(0.2)")
    assert sample(client, "queue_seconds_count") == 2
    assert sample(client, "sandbox_seconds_count") == 2
    spent_s = sample(client, "sandbox_seconds_sum")
    assert spent_s is not None
    assert spent_s > 0.2


def test_a_failure_of_the_host_counts_as_ie() -> None:
    metrics = Metrics()
    observation = Observation(metrics, Recent(), logs_messages=False)
    observation.finished(InfrastructureError("no memory"), About("run", "me", "1", None), waited_s=0.0, took_s=0.0)
    assert metrics.registry.get_sample_value("qrpo_sandbox_submissions_total", {"kind": "run", "outcome": "IE"}) == 1


def test_requests_are_counted_by_the_template_of_their_route(client: TestClient) -> None:
    client.get("/v1/info")
    for path in ("/secret/1", "/secret/2"):
        client.get(path)
    client.get("/v1/info", headers={"authorization": "Bearer wrong"})
    assert sample(client, "http_requests_total", method="GET", route="/v1/info", status="200") == 1
    assert sample(client, "http_requests_total", method="GET", route="/v1/info", status="401") == 1
    assert "secret" not in client.get("/metrics").text


def test_an_unknown_method_makes_no_series_of_its_own(client: TestClient) -> None:
    client.request("BREW", "/v1/info")
    assert sample(client, "http_requests_total", method="OTHER", route="/v1/info", status="405") == 1
    assert "BREW" not in client.get("/metrics").text


def test_refused_requests_are_counted_by_reason(client: TestClient) -> None:
    programs = {"programs": [{"code": "pass"}] * 33}
    assert client.post("/v1/run", json=programs).status_code == 413
    assert sample(client, "refused_total", reason="too_large") == 1
    assert sample(client, "refused_total", reason="overloaded") == 0


def test_what_the_server_holds_and_is_can_be_read(client: TestClient) -> None:
    judge(client, "def add(a, b): return a + b")
    assert sample(client, "problems") == 1
    held = sample(client, "problems_bytes")
    assert held is not None
    assert held > len("assert add(2, 2) == 4")
    assert sample(client, "slots") == 1
    assert sample(client, "slots_busy") == 0
    assert sample(client, "queue_depth") == 0
    assert sample(client, "queue_capacity") == 64
    assert sample(client, "clients_active") == 0
    assert sample(client, "draining") == 0
    assert sample(client, "host_failures_total") == 0
    assert sample(client, "enforcement_info", level="userns") == 1


def test_metrics_need_the_token(client: TestClient) -> None:
    assert client.get("/metrics", headers={"authorization": "Bearer wrong"}).status_code == 401


def test_each_server_counts_for_itself(box: Sandbox) -> None:
    with TestClient(create_app(box, Settings(), None)) as one, TestClient(create_app(box, Settings(), None)) as other:
        judge(one, "def add(a, b): return a + b")
        assert sample(one, "queue_seconds_count") == 1
        assert sample(other, "queue_seconds_count") == 0


def test_a_submission_costs_less_than_30_us() -> None:
    observation = Observation(Metrics(), Recent(), logs_messages=False)
    result = RunResult(
        verdict=Verdict.WA,  # dearer than AC: it goes to the list of failures
        stdout=b"",
        stderr=b"",
        exit_code=1,
        message="x" * 200,
        cpu_s=0.0,
        wall_s=0.0,
        peak_memory_bytes=0,
        enforcement="userns",
    )
    about = About("run", "me", "1", None)
    count = 200

    def finish() -> None:
        observation.finished(result, about, waited_s=0.1, took_s=0.01)

    # CPU time, and the best of many short rounds: other programs on the machine are not what is measured.
    took_s = timeit.repeat(finish, number=count, repeat=50, timer=time.thread_time)
    assert min(took_s) / count < 30e-6
