"""Traces through OpenTelemetry: set up only where a collector is configured, free elsewhere."""

from collections.abc import Callable
from typing import Any

import grpc
from opentelemetry import trace

from guerdon import __version__
from guerdon.config import Settings

Stop = Callable[[], None]


def call_interceptors(settings: Settings) -> list[grpc.aio.ServerInterceptor]:
    """A span for each call, where there is somebody to send it to."""
    if settings.otlp_endpoint is None:
        return []
    from opentelemetry.instrumentation.grpc import aio_server_interceptor

    return [aio_server_interceptor()]  # type: ignore[no-untyped-call]  # Untyped there.


def start_tracing(settings: Settings, worker: int) -> Stop:
    """Export sampled spans from now on; the answer flushes what is left and ends it."""
    if settings.otlp_endpoint is None:
        return lambda: None
    # Imported here: an exporter brings a second of start-up that only its users shall pay.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
    from opentelemetry.instrumentation.redis import RedisInstrumentor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(settings.trace_sample_ratio)),
        resource=Resource.create(
            {
                "service.name": "guerdon",
                "service.version": __version__,
                "service.instance.id": str(worker),
            }
        ),
    )
    exporter = OTLPSpanExporter(endpoint=settings.otlp_endpoint)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    # Statements are constants here; parameters, which hold customers, are never captured.
    untyped: Any = AsyncPGInstrumentor
    instrumentor = untyped(capture_parameters=False)
    instrumentor.instrument()
    RedisInstrumentor().instrument()
    return provider.shutdown
