"""OTLP: a collector of the test's own receives spans and metrics of a real server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from tests.process.servers import PATIENCE_SECONDS, environment, serving

PREFIX = "opentelemetry.proto.collector"


class Collector:
    """Notes the names of the spans and metrics that arrive."""

    def __init__(self) -> None:
        self.spans: set[str] = set()
        self.metrics: set[str] = set()

    async def take_spans(self, request: Any, _: Any) -> Any:
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans |= {span.name for span in scope.spans}
        return trace_service_pb2.ExportTraceServiceResponse()

    async def take_metrics(self, request: Any, _: Any) -> Any:
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                self.metrics |= {metric.name for metric in scope.metrics}
        return metrics_service_pb2.ExportMetricsServiceResponse()


@pytest.fixture
async def collector() -> AsyncIterator[tuple[Collector, str]]:
    found = Collector()
    server = grpc.aio.server()
    for service, handle, module, kind in (
        ("trace.v1.TraceService", found.take_spans, trace_service_pb2, "Trace"),
        ("metrics.v1.MetricsService", found.take_metrics, metrics_service_pb2, "Metrics"),
    ):
        handler = grpc.unary_unary_rpc_method_handler(
            handle,
            request_deserializer=getattr(module, f"Export{kind}ServiceRequest").FromString,
            response_serializer=getattr(module, f"Export{kind}ServiceResponse").SerializeToString,
        )
        handlers = grpc.method_handlers_generic_handler(f"{PREFIX}.{service}", {"Export": handler})
        server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield found, f"http://127.0.0.1:{port}"
    await server.stop(None)


async def test_spans_and_metrics_reach_a_collector(
    tmp_path: Path, database_url: str, collector: tuple[Collector, str]
) -> None:
    found, endpoint = collector
    env = environment(database_url, GUERDON_OTLP_ENDPOINT=endpoint, GUERDON_TRACE_SAMPLE_RATIO="1")
    async with serving(tmp_path, env) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            check = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                health_pb2.HealthCheckRequest.SerializeToString,
                health_pb2.HealthCheckResponse.FromString,
            )
            await check(health_pb2.HealthCheckRequest(), timeout=PATIENCE_SECONDS)
        # Whatever is not sent yet is sent at the end.
        assert await asyncio.wait_for(server.stop(), PATIENCE_SECONDS) == 0
    assert "/grpc.health.v1.Health/Check" in found.spans
    assert "guerdon_workers" in found.metrics
