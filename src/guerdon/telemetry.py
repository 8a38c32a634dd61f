"""Names of metrics, spans and log fields in one place, and how they are recorded.

Recording is meant for a hot path: values are kept as plain numbers and label children are looked up
by one dictionary key. What can be told once a batch is not told once an item. No label, span
attribute or log field ever holds a customer, an order or a key's secret.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanContext
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# Log fields that more than one module writes.
LOG_REQUEST_ID = "request_id"
LOG_TRACE_ID = "trace_id"
LOG_TENANT_ID = "tenant_id"
LOG_METHOD = "method"
LOG_KEY_ID = "key_id"
LOG_WORKER = "worker"
LOG_ERROR = "error"

# Fields that must not reach a log even when a caller of the logger forgets it.
LOG_FIELDS_WITHHELD = frozenset(
    {"api_key", "authorization", "customer_id", "customer_ids", "order_ref", "pepper", "secret"}
)

SPAN_REDEEM_BATCH = "guerdon.redeem_batch"
SPAN_OBSERVE_BATCH = "guerdon.observe_batch"
SPAN_ITEMS = "guerdon.batch.items"
TRACER_NAME = "guerdon"
# Links of one batch span: past them the export costs more than the link tells.
SPAN_LINKS_MAX = 32

CALLS = "guerdon_calls"
CALL_SECONDS = "guerdon_call_seconds"
BATCH_ITEMS = "guerdon_batch_items"
BATCH_SECONDS = "guerdon_batch_seconds"
QUEUE_ITEMS = "guerdon_queue_items"
SHED = "guerdon_shed"
REDEMPTIONS = "guerdon_redemptions"
REDIS_AVAILABLE = "guerdon_redis_available"
BREAKER_OPENED = "guerdon_redis_breaker_opened"
POOL_IN_USE = "guerdon_postgres_connections_in_use"
CATALOGUE_LOADS = "guerdon_catalogue_loads"
WORKERS = "guerdon_workers"
WORKER_RESTARTS = "guerdon_worker_restarts"

# Seconds: an idle machine answers in a few milliseconds, the longest call has DEADLINE_SECONDS_MAX.
CALL_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0)
BATCH_ITEMS_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

GRANTED = "granted"
REPLAYED = "replayed"
REFUSED = "refused"


class Metrics(Protocol):
    """What the planes, adapters and the transport tell. Methods never raise and never wait."""

    def call_ended(self, method: str, code: str, reason: str, seconds: float) -> None:
        """A call was answered. `method` is Service/Method; `reason` is '' for OK."""

    def batch_ended(self, kind: str, items: int, seconds: float) -> None:
        """A batch came back. `kind` is one of the SPAN names."""

    def queue_changed(self, items: int) -> None:
        """So many items wait, over all tenants of the process."""

    def shed(self, items: int) -> None:
        """Items were turned away before any work."""

    def redemptions_decided(self, granted: int, replayed: int, refused: Mapping[str, int]) -> None:
        """The outcomes of a batch; `refused` counts by reason."""

    def redis_changed(self, available: bool) -> None:
        """Redis answers, or does not."""

    def breaker_opened(self) -> None:
        """Redis was given up for a while."""

    def pool_changed(self, connections_in_use: int) -> None:
        """So many Postgres connections of the process work right now."""

    def catalogue_loaded(self, kind: str, items: int) -> None:
        """Something was read into the cache: "offer", "product", "tenant" or "key"."""


class PrometheusMetrics:
    """Metrics as Prometheus reads them.

    With PROMETHEUS_MULTIPROC_DIR in the environment the values live in files of that folder, which
    the supervisor sums over the workers; otherwise in `registry` alone.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            CALLS, "Calls answered.", ["method", "code", "reason"], registry=registry
        )
        self._call_seconds = Histogram(
            CALL_SECONDS, "Time from arrival to answer.", ["method"],
            buckets=CALL_BUCKETS, registry=registry,
        )  # fmt: skip
        self._batch_items = Histogram(
            BATCH_ITEMS, "Items sent to Postgres together.", ["kind"],
            buckets=BATCH_ITEMS_BUCKETS, registry=registry,
        )  # fmt: skip
        self._batch_seconds = Histogram(
            BATCH_SECONDS, "Time a batch took.", ["kind"], buckets=CALL_BUCKETS, registry=registry
        )
        self._redemptions = Counter(
            REDEMPTIONS, "Decisions on redemptions.", ["outcome", "reason"], registry=registry
        )
        self._loads = Counter(CATALOGUE_LOADS, "Reads into the cache.", ["kind"], registry=registry)
        self._shed = Counter(SHED, "Items turned away before any work.", registry=registry)
        self._breaker = Counter(BREAKER_OPENED, "Times Redis was given up.", registry=registry)
        self._queue = self._gauge(QUEUE_ITEMS, "Items that wait.", "livesum", registry)
        self._pool = self._gauge(POOL_IN_USE, "Busy Postgres connections.", "livesum", registry)
        self._redis = self._gauge(
            REDIS_AVAILABLE, "1 when every worker reaches Redis.", "livemin", registry
        )
        self._call_children: dict[tuple[str, str, str], Counter] = {}
        self._second_children: dict[str, Histogram] = {}

    @staticmethod
    def _gauge(name: str, text: str, mode: str, registry: CollectorRegistry) -> Gauge:
        gauge: Any = Gauge  # Its stub wants a Literal for the mode.
        made: Gauge = gauge(name, text, multiprocess_mode=mode, registry=registry)
        return made

    def call_ended(self, method: str, code: str, reason: str, seconds: float) -> None:
        key = (method, code, reason)
        child = self._call_children.get(key)
        if child is None:
            child = self._call_children[key] = self._calls.labels(method, code, reason)
        child.inc()
        timer = self._second_children.get(method)
        if timer is None:
            timer = self._second_children[method] = self._call_seconds.labels(method)
        timer.observe(seconds)

    def batch_ended(self, kind: str, items: int, seconds: float) -> None:
        self._batch_items.labels(kind).observe(items)
        self._batch_seconds.labels(kind).observe(seconds)

    def queue_changed(self, items: int) -> None:
        self._queue.set(items)

    def shed(self, items: int) -> None:
        self._shed.inc(items)

    def redemptions_decided(self, granted: int, replayed: int, refused: Mapping[str, int]) -> None:
        if granted:
            self._redemptions.labels(GRANTED, "").inc(granted)
        if replayed:
            self._redemptions.labels(REPLAYED, "").inc(replayed)
        for reason, count in refused.items():
            self._redemptions.labels(REFUSED, reason).inc(count)

    def redis_changed(self, available: bool) -> None:
        self._redis.set(int(available))

    def breaker_opened(self) -> None:
        self._breaker.inc()

    def pool_changed(self, connections_in_use: int) -> None:
        self._pool.set(connections_in_use)

    def catalogue_loaded(self, kind: str, items: int) -> None:
        self._loads.labels(kind).inc(items)


def sampled_context() -> SpanContext | None:
    """The present call's span, when it is one that is exported; an item carries it to its batch."""
    context = trace.get_current_span().get_span_context()
    return context if context.trace_flags.sampled else None


@contextmanager
def batch_span(name: str, items: int, contexts: Sequence[SpanContext | None]) -> Iterator[None]:
    """One span for a batch, linked to the sampled calls in it; nothing when none is sampled."""
    sampled = [context for context in contexts if context is not None]
    if not sampled:
        yield
        return
    links = [Link(context) for context in sampled[:SPAN_LINKS_MAX]]
    # A child of the first, so that it is sampled as its callers are and one trace shows it whole.
    parent = trace.set_span_in_context(trace.NonRecordingSpan(sampled[0]))
    with trace.get_tracer(TRACER_NAME).start_as_current_span(
        name, context=parent, links=links, attributes={SPAN_ITEMS: items}
    ):
        yield


def current_trace_id() -> str | None:
    """The present trace as 32 hex digits, for logs; None outside any."""
    span: Span = trace.get_current_span()
    context = span.get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else None
