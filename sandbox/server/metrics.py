"""`GET /metrics`: what a server has done and does, in the text format of Prometheus.

Labels take few values: routes are templates, and no client, problem or request has a series of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from itertools import chain

from fastapi import APIRouter
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from sandbox.server.outcomes import REFUSALS
from sandbox.server.service import Service

disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for each, of no use in this format
router = APIRouter()

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """Counters and histograms of one server, and the registry they are in."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._submissions = Counter(
            "qrpo_sandbox_submissions",
            "Submissions done, by kind of request, and by verdict or kind of error.",
            ("kind", "outcome"),
            registry=self.registry,
        )
        self._queue = self._histogram(
            "queue", "From a request's arrival until the submission is given to the sandbox, s."
        )
        self._sandbox = self._histogram(
            "sandbox", "From when a submission is given to the sandbox until its result, s."
        )
        self._requests = Counter(
            "qrpo_sandbox_http_requests",
            "HTTP requests, by template of the route; status 499: the client left before there was an answer.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._request_s = Histogram(
            "qrpo_sandbox_http_request_seconds",
            "From the first byte of an HTTP request to the last of its answer, s.",
            ("route",),
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self._refused = Counter(
            "qrpo_sandbox_refused",
            "HTTP requests refused because the server is full (overloaded), they are too large, or it is about to end.",
            ("reason",),
            registry=self.registry,
        )
        for reason in REFUSALS.values():
            self._refused.labels(reason)
        self._children: dict[tuple[str, str], Counter] = {}

    def finished(self, kind: str, outcome: str, waited_s: float, took_s: float) -> None:
        """A submission is done."""
        child = self._children.get((kind, outcome))
        if child is None:
            child = self._children[kind, outcome] = self._submissions.labels(kind, outcome)
        child.inc()
        self._queue.observe(waited_s)
        self._sandbox.observe(took_s)

    def answered(self, method: str, route: str, status: int, took_s: float) -> None:
        """An HTTP request is over."""
        self._requests.labels(method, route, status).inc()
        self._request_s.labels(route).observe(took_s)
        if status in REFUSALS:
            self._refused.labels(REFUSALS[status]).inc()

    def text(self, service: Service) -> bytes:
        """All of it, with what the service does now."""
        return generate_latest(_Both(self.registry, service))

    def _histogram(self, stage: str, what: str) -> Histogram:
        return Histogram(f"qrpo_sandbox_{stage}_seconds", what, buckets=_BUCKETS_S, registry=self.registry)


class _Both:
    """What was counted, and what is looked up when it is asked for."""

    def __init__(self, registry: CollectorRegistry, service: Service) -> None:
        self._registry = registry
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """As of now."""
        return chain(self._registry.collect(), _of_service(self._service))


def _of_service(service: Service) -> Iterator[Metric]:
    dispatcher, sandbox = service.dispatcher, service.sandbox
    activity = sandbox.activity

    def gauge(name: str, what: str, value: float) -> Metric:
        return GaugeMetricFamily(f"qrpo_sandbox_{name}", what, value)

    def counter(name: str, what: str, value: float) -> Metric:
        return CounterMetricFamily(f"qrpo_sandbox_{name}", what, value)

    yield InfoMetricFamily("qrpo_sandbox_build", "The server's version.", {"version": version("qrpo-sandbox")})
    yield InfoMetricFamily(
        "qrpo_sandbox_enforcement", "The level of isolation, measured.", {"level": str(sandbox.enforcement.level)}
    )
    yield gauge("queue_depth", "Submissions that wait or run.", dispatcher.depth)
    yield gauge("queue_capacity", "Submissions that may wait or run.", service.settings.queued)
    yield gauge("queue_oldest_seconds", "Age of the oldest request of which something waits.", dispatcher.oldest_s)
    yield gauge("clients_active", "Clients with a request that is being served.", dispatcher.clients)
    yield gauge("draining", "1: nothing new is taken.", dispatcher.is_draining)
    yield gauge("slots", "Programs that can run at a time.", sandbox.workers)
    yield gauge("slots_busy", "Programs that run.", activity.busy)
    yield counter("host_failures", "Times that the host failed a submission; most are tried again.", activity.failures)
    yield counter("slots_replaced", "Slots that failed and were replaced.", activity.replaced)
    yield counter(
        "reruns_alone", "Submissions run again alone, because beside others their time had run out.", activity.alone
    )
    yield gauge("problems", "Problems held.", len(service.problems))
    yield gauge("problems_bytes", "Bytes of the problems held.", service.problems.size)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {"schema": {}}}}})
async def metrics(request: Request) -> Response:
    """Metrics in the text format of Prometheus."""
    state = request.app.state
    counted: Metrics = state.observation.metrics
    # Not through media_type, to which starlette would add a second charset.
    return Response(counted.text(state.service), headers={"content-type": CONTENT_TYPE_PLAIN_0_0_4})
