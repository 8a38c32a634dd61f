"""Metrics through OTLP, for those who collect them that way: the sums that /metrics shows."""

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.samples import Sample

from guerdon import __version__
from guerdon.config import Settings
from guerdon.limits import METRICS_EXPORT_SECONDS, METRICS_EXPORT_SECONDS_MAX

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import export as otlp

log = structlog.get_logger()


@contextlib.contextmanager
def exported_metrics(settings: Settings, registry: CollectorRegistry) -> Iterator[None]:
    """Export inside the block, and once at its end; nothing without a collector."""
    if settings.otlp_endpoint is None:
        yield
        return
    # Imported here: only its users shall pay for the exporter's start.
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

    exporter = OTLPMetricExporter(
        endpoint=settings.otlp_endpoint, timeout=METRICS_EXPORT_SECONDS_MAX
    )
    stop = threading.Event()
    since_nanoseconds = time.time_ns()

    def export_for_ever() -> None:
        ended = False
        while not ended:
            ended = stop.wait(METRICS_EXPORT_SECONDS)
            exporter.export(convert(registry.collect(), since_nanoseconds))

    thread = threading.Thread(target=export_for_ever, name="metrics export", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(2 * METRICS_EXPORT_SECONDS_MAX)
        exporter.shutdown()


def convert(metrics: Iterable[Metric], since_nanoseconds: int) -> "otlp.MetricsData":
    """The same values in OpenTelemetry's form; counts are cumulative since the start."""
    from opentelemetry.sdk.metrics import export as otlp
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    times = (since_nanoseconds, time.time_ns())
    found = [_metric(metric, times) for metric in metrics if metric.samples]
    scope = otlp.ScopeMetrics(InstrumentationScope("guerdon", __version__), found, "")
    resource = Resource.create({"service.name": "guerdon", "service.version": __version__})
    return otlp.MetricsData([otlp.ResourceMetrics(resource, [scope], "")])


def _metric(metric: Metric, times: tuple[int, int]) -> "otlp.Metric":
    from opentelemetry.sdk.metrics import export as otlp

    cumulative = otlp.AggregationTemporality.CUMULATIVE
    data: otlp.Sum | otlp.Gauge | otlp.Histogram
    if metric.type == "counter":
        data = otlp.Sum(_numbers(metric, times), cumulative, is_monotonic=True)
    elif metric.type == "histogram":
        data = otlp.Histogram(_histograms(metric, times), cumulative)
    else:
        data = otlp.Gauge(_numbers(metric, times))
    unit = "s" if metric.name.endswith("_seconds") else "1"
    return otlp.Metric(metric.name, metric.documentation, unit, data)


def _numbers(metric: Metric, times: tuple[int, int]) -> "list[otlp.NumberDataPoint]":
    from opentelemetry.sdk.metrics import export as otlp

    return [
        otlp.NumberDataPoint(dict(sample.labels), *times, value=sample.value)
        for sample in metric.samples
        if not sample.name.endswith("_created")
    ]


def _histograms(metric: Metric, times: tuple[int, int]) -> "list[otlp.HistogramDataPoint]":
    from opentelemetry.sdk.metrics import export as otlp

    points = []
    for labels, samples in _by_labels(metric.samples).items():
        cumulative = sorted(
            (float(sample.labels["le"]), sample.value)
            for sample in samples
            if sample.name.endswith("_bucket")
        )
        counts = [count for _, count in cumulative]
        total = next(sample.value for sample in samples if sample.name.endswith("_sum"))
        points.append(
            otlp.HistogramDataPoint(
                dict(labels),
                *times,
                count=int(counts[-1]),
                sum=total,
                bucket_counts=[
                    int(count - before) for before, count in zip([0, *counts], counts, strict=False)
                ],
                explicit_bounds=[bound for bound, _ in cumulative[:-1]],
                min=float("nan"),
                max=float("nan"),
            )
        )
    return points


def _by_labels(samples: Iterable[Sample]) -> dict[tuple[tuple[str, str], ...], list[Sample]]:
    grouped: dict[tuple[tuple[str, str], ...], list[Sample]] = {}
    for sample in samples:
        key = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "le"))
        grouped.setdefault(key, []).append(sample)
    return grouped
