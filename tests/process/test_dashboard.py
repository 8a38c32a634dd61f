"""The dashboard asks for metrics that exist."""

import json
import re
from pathlib import Path

import yaml
from prometheus_client import CollectorRegistry

from guerdon.serving.board import Board
from guerdon.telemetry import PrometheusMetrics

FOLDER = Path(__file__).resolve().parents[2] / "observability"


def exposed_names() -> set[str]:
    registry = CollectorRegistry()
    PrometheusMetrics(registry)
    registry.register(Board())
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    return {
        metric.name + suffix for metric in registry.collect() for suffix in suffixes[metric.type]
    }


def test_every_metric_on_the_dashboard_exists_and_none_is_left_out() -> None:
    dashboard = json.loads((FOLDER / "grafana/dashboards/guerdon.json").read_text())
    expressions = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    asked = set(re.findall(r"guerdon_\w+", " ".join(expressions)))
    assert asked - exposed_names() == set()
    families = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in exposed_names()}
    assert families - {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in asked} == set()


def test_every_configuration_file_is_yaml() -> None:
    files = [*FOLDER.rglob("*.yml"), *FOLDER.rglob("*.yaml")]
    assert len(files) == 4
    assert all(isinstance(yaml.safe_load(file.read_text()), dict) for file in files)
