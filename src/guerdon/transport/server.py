"""The gRPC server: the core's options, our handlers, and health and reflection beside them."""

from collections.abc import Mapping, Sequence

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from guerdon.limits import CALLS_IN_PROGRESS_MAX, MESSAGE_BYTES_MAX, METADATA_BYTES_MAX
from guerdon.transport.pipeline import Handler, Pipeline

Interceptors = Sequence[grpc.aio.ServerInterceptor]

# Only "identity": the core inflates a compressed message before it looks at its size.
NO_COMPRESSION = 1
MILLISECONDS = 1000
# A connection on which nothing happens is asked for a sign of life, so that a dead peer is noticed
# before its calls pile up; one that asks us too often is closed.
KEEPALIVE_SECONDS = 60
KEEPALIVE_TIMEOUT_SECONDS = 20
PING_INTERVAL_SECONDS_MIN = 10
# Connections are ended now and then, gracefully: SO_REUSEPORT spreads connections and not calls, so
# long-lived ones would stay skewed after a worker was replaced.
CONNECTION_AGE_SECONDS_MAX = 1800
CONNECTION_GRACE_SECONDS = 60

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.so_reuseport", 1),
    ("grpc.compression_enabled_algorithms_bitset", NO_COMPRESSION),
    # Room above our own bound, so that a message somewhat too large still gets our answer.
    ("grpc.max_receive_message_length", 4 * MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.keepalive_time_ms", KEEPALIVE_SECONDS * MILLISECONDS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_SECONDS * MILLISECONDS),
    ("grpc.keepalive_permit_without_calls", 1),
    (
        "grpc.http2.min_recv_ping_interval_without_data_ms",
        PING_INTERVAL_SECONDS_MIN * MILLISECONDS,
    ),
    ("grpc.max_connection_age_ms", CONNECTION_AGE_SECONDS_MAX * MILLISECONDS),
    ("grpc.max_connection_age_grace_ms", CONNECTION_GRACE_SECONDS * MILLISECONDS),
    # By itself the core cancels some of more than 1,000 calls that our loop has not seen yet, and
    # says neither why nor when to come back. Our own queues do.
    ("grpc.server.max_pending_requests", CALLS_IN_PROGRESS_MAX),
    ("grpc.server.max_pending_requests_hard_limit", CALLS_IN_PROGRESS_MAX),
)


class Router(grpc.GenericRpcHandler):
    """Finds a call's handler with one look-up; asked last, it also answers unknown methods."""

    def __init__(self, handlers: Mapping[str, Handler], pipeline: Pipeline) -> None:
        self._handlers = handlers
        self._pipeline = pipeline

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler:
        handler = self._handlers.get(handler_call_details.method)
        if handler is None:
            return self._pipeline.wrap_unknown(handler_call_details.method)
        return handler


class GrpcServer:
    """Serves the given services, health, and reflection where it is asked for.

    `services` pairs each service's descriptor with its servicer. Health is NOT_SERVING until
    set_healthy says otherwise: whoever knows that the server can write tells it.
    """

    def __init__(
        self,
        services: Sequence[tuple[ServiceDescriptor, object]],
        pipeline: Pipeline,
        *,
        reflect: bool,
        interceptors: Interceptors = (),
    ) -> None:
        self.port = 0
        """Where it listens, once it does."""
        self._names = [descriptor.full_name for descriptor, _ in services]
        self._server = grpc.aio.server(
            interceptors=list(interceptors),
            options=OPTIONS,
            maximum_concurrent_rpcs=CALLS_IN_PROGRESS_MAX,
            compression=grpc.Compression.NoCompression,
        )
        self._health = HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if reflect:
            names = (*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)
        handlers: dict[str, Handler] = {}
        for descriptor, servicer in services:
            handlers |= pipeline.wrap(descriptor, servicer)
        self._server.add_generic_rpc_handlers((Router(handlers, pipeline),))

    def listen(self, address: str) -> int:
        """Bind host:port, which other processes may share; the port, chosen when it was 0.

        Raises RuntimeError when the address cannot be bound.
        """
        self.port = self._server.add_insecure_port(address)
        return self.port

    async def start(self) -> None:
        """Take calls; health says NOT_SERVING at first."""
        await self.set_healthy(False)
        await self._server.start()

    async def set_healthy(self, healthy: bool) -> None:
        """Tell those who watch or ask grpc.health.v1, for the whole server and each service."""
        answer = health_pb2.HealthCheckResponse
        for name in ("", *self._names):
            await self._health.set(name, answer.SERVING if healthy else answer.NOT_SERVING)

    async def stop(self, seconds: float) -> None:
        """Take no more calls, let those in progress finish for so long, then end them."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(seconds)
