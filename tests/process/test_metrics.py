"""Metrics: what is recorded, and that both ways out tell the same."""

from opentelemetry.sdk.metrics import export as otlp
from prometheus_client import CollectorRegistry

from guerdon.serving.metrics_export import convert
from guerdon.telemetry import SPAN_REDEEM_BATCH, PrometheusMetrics

REDEEM = "OfferService/Redeem"


def recorded() -> CollectorRegistry:
    registry = CollectorRegistry()
    metrics = PrometheusMetrics(registry)
    metrics.call_ended(REDEEM, "OK", "", 0.004)
    metrics.call_ended(REDEEM, "OK", "", 0.2)
    metrics.call_ended(REDEEM, "RESOURCE_EXHAUSTED", "TOTAL_LIMIT_REACHED", 0.004)
    metrics.batch_ended(SPAN_REDEEM_BATCH, 3, 0.01)
    metrics.redemptions_decided(2, 1, {"TOTAL_LIMIT_REACHED": 4})
    metrics.queue_changed(7)
    return registry


def exported(registry: CollectorRegistry) -> dict[str, otlp.Metric]:
    data = convert(registry.collect(), since_nanoseconds=1)
    return {metric.name: metric for metric in data.resource_metrics[0].scope_metrics[0].metrics}


def test_calls_count_by_method_code_and_reason() -> None:
    registry = recorded()
    ok = {"method": REDEEM, "code": "OK", "reason": ""}
    assert registry.get_sample_value("guerdon_calls_total", ok) == 2
    refused = {"outcome": "refused", "reason": "TOTAL_LIMIT_REACHED"}
    assert registry.get_sample_value("guerdon_redemptions_total", refused) == 4


def test_otlp_counts_are_those_of_prometheus() -> None:
    metric = exported(recorded())["guerdon_calls"]
    assert isinstance(metric.data, otlp.Sum)
    assert metric.data.is_monotonic
    counts = {(point.attributes or {})["reason"]: point.value for point in metric.data.data_points}
    assert counts == {"": 2, "TOTAL_LIMIT_REACHED": 1}


def test_otlp_buckets_are_not_cumulative() -> None:
    metric = exported(recorded())["guerdon_call_seconds"]
    assert isinstance(metric.data, otlp.Histogram)
    (point,) = metric.data.data_points
    assert point.count == 3
    assert sum(point.bucket_counts) == 3
    assert len(point.bucket_counts) == len(point.explicit_bounds) + 1
    assert point.bucket_counts[point.explicit_bounds.index(0.005)] == 2
    assert point.bucket_counts[point.explicit_bounds.index(0.25)] == 1


def test_otlp_gauges_show_the_present_value() -> None:
    metric = exported(recorded())["guerdon_queue_items"]
    assert isinstance(metric.data, otlp.Gauge)
    assert [point.value for point in metric.data.data_points] == [7]
