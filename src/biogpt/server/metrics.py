"""Metrics: what Prometheus can ask a server. A registry of its own for each app, so that tests can have several."""

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        registry = self._registry
        self.requests: Counter = Counter(
            "biogpt_requests", "Answered requests.", ("route", "method", "status"), registry=registry
        )
        self.seconds: Histogram = Histogram(
            "biogpt_request_seconds",
            "From a request's first byte to its answer's last.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.waiting: Gauge = Gauge(
            "biogpt_queue_requests", "Accepted and not yet answered.", ("model",), registry=registry
        )
        self.rows: Gauge = Gauge("biogpt_active_rows", "Completions in the batch.", ("model",), registry=registry)
        self.tokens: Counter = Counter(
            "biogpt_tokens", "Tokens read (prompt) and written (completion).", ("model", "kind"), registry=registry
        )
        self.documents: Counter = Counter(
            "biogpt_documents", "Documents extracted from.", ("model",), registry=registry
        )
        self.batch_size: Histogram = Histogram(
            "biogpt_batch_size",
            "Rows of a pass, or documents of a slice.",
            ("model",),
            buckets=_SIZES,
            registry=registry,
        )

    def render(self) -> bytes:
        """All figures as Prometheus reads them."""
        return generate_latest(self._registry)
