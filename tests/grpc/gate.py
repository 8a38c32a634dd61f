"""A server whose pipeline is the real one, in front of servicers that only note who got through.

Whatever a test sends, `passed` tells whether it reached a plane; so a test of bad input can say
that nothing can have been changed.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import (  # type: ignore[import-untyped]  # The package ships no types.
    error_details_pb2,
    status_pb2,
)
from prometheus_client import CollectorRegistry

from guerdon.api.admin.v1 import (
    api_key_service_pb2,
    fact_service_pb2,
    offer_admin_service_pb2,
)
from guerdon.api.offers.v1 import offer_service_pb2
from guerdon.domain.errors import Unauthenticated
from guerdon.domain.identifiers import TenantId
from guerdon.ports import Caller
from guerdon.telemetry import PrometheusMetrics
from guerdon.transport.call import Call
from guerdon.transport.pipeline import Pipeline
from guerdon.transport.server import GrpcServer
from tests.support.error_page import fits

SERVICES: tuple[ServiceDescriptor, ...] = (
    offer_service_pb2.DESCRIPTOR.services_by_name["OfferService"],
    offer_admin_service_pb2.DESCRIPTOR.services_by_name["OfferAdminService"],
    fact_service_pb2.DESCRIPTOR.services_by_name["FactService"],
    api_key_service_pb2.DESCRIPTOR.services_by_name["ApiKeyService"],
)
METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method
    for service in SERVICES
    for method in service.methods
}
UNARY = [path for path, method in METHODS.items() if not method.client_streaming]
SCOPES = frozenset(
    {
        "offers.read",
        "offers.redeem",
        "offers.revoke",
        "offers.admin.read",
        "offers.admin.write",
        "facts.write",
        "keys.manage",
    }
)
TENANT = TenantId(UUID("0190c8f2-7d4e-7c3a-9a51-0242ac120000"))
GOOD_KEY = "a key with every scope"
SCOPELESS_KEY = "a key without scopes"


class KnownKeys:
    """The authenticator's contract, kept by two keys."""

    callers: Mapping[str, Caller] = {
        GOOD_KEY: Caller(TENANT, "good", SCOPES),
        SCOPELESS_KEY: Caller(TENANT, "scopeless", frozenset({""})),
    }

    async def authenticate(self, presented_key: str) -> Caller:
        if presented_key not in self.callers:
            raise Unauthenticated("API_KEY_INVALID")
        return self.callers[presented_key]


class Servicers:
    """Notes each message that arrives and answers it with `behave`, or with an empty response."""

    def __init__(self) -> None:
        self.passed: list[Message] = []
        self.calls: list[Call] = []
        self.behave: Callable[[Any, Call], Awaitable[Message | None]] | None = None

    def forget(self) -> None:
        self.passed.clear()
        self.calls.clear()
        self.behave = None

    def of(self, service: ServiceDescriptor) -> object:
        names = {_snake_case(method.name): self._method(method) for method in service.methods}
        return type("Servicer", (), {name: staticmethod(m) for name, m in names.items()})

    def _method(self, method: MethodDescriptor) -> Callable[[Any, Call], Any]:
        response = GetMessageClass(method.output_type)

        async def answer(message: Any, call: Call) -> Message:
            self.passed.append(message)
            self.calls.append(call)
            answered = await self.behave(message, call) if self.behave else None
            return response() if answered is None else answered

        async def answer_each(messages: AsyncIterator[Any], call: Call) -> AsyncIterator[Message]:
            async for message in messages:
                yield await answer(message, call)

        return answer_each if method.client_streaming else answer


class Failure(NamedTuple):
    """An error as a client sees it; `info` is its one ErrorInfo."""

    code: grpc.StatusCode
    status: status_pb2.Status
    info: error_details_pb2.ErrorInfo
    trailers: dict[str, str | bytes]

    @property
    def reason(self) -> str:
        return str(self.info.reason)

    @property
    def fields(self) -> list[str]:
        """The paths of all field violations."""
        bad_request = self.detail(error_details_pb2.BadRequest)
        return [] if bad_request is None else [v.field for v in bad_request.field_violations]

    def detail(self, kind: type[Any]) -> Any:
        """The detail of that type, or None."""
        found = [any_ for any_ in self.status.details if any_.Is(kind.DESCRIPTOR)]
        assert len(found) <= 1
        message = kind()
        return message if found and found[0].Unpack(message) else None


class Gate:
    """The server, and calls to it as a client makes them."""

    def __init__(
        self, channel: grpc.aio.Channel, servicers: Servicers, registry: CollectorRegistry
    ) -> None:
        self.channel = channel
        self.servicers = servicers
        self.registry = registry

    def calls_counted(self, method: str, code: str, reason: str) -> float:
        """How many calls of Service/Method ended so, as the metrics say."""
        labels = {"method": method, "code": code, "reason": reason}
        return self.registry.get_sample_value("guerdon_calls_total", labels) or 0

    async def send(
        self,
        path: str,
        message: Message | bytes,
        *,
        key: str | None = GOOD_KEY,
        metadata: tuple[tuple[str, str], ...] = (),
        timeout: float | None = 5,
    ) -> Message | Failure:
        """The response, or the error in all its parts."""
        raw = message if isinstance(message, bytes) else message.SerializeToString()
        if key is not None:
            metadata = (("authorization", f"Bearer {key}"), *metadata)
        send: Any = self.channel.unary_unary(path)
        try:
            answer = await send(raw, metadata=metadata, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            return read_failure(error)
        if path not in METHODS:
            raise AssertionError(f"{path} answered")
        return GetMessageClass(METHODS[path].output_type).FromString(answer)

    async def fail(self, path: str, message: Message | bytes, **how: Any) -> Failure:
        """The error of a call that must fail without reaching a servicer."""
        before = len(self.servicers.passed)
        answer = await self.send(path, message, **how)
        assert isinstance(answer, Failure), answer
        assert len(self.servicers.passed) == before
        return answer


def read_failure(error: grpc.aio.AioRpcError) -> Failure:
    """Every part of an error of ours, and that they agree with each other."""
    trailers = dict(error.trailing_metadata())
    assert "grpc-status-details-bin" in trailers, f"not ours: {error.code()} {error.details()}"
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    assert status.code == error.code().value[0]
    assert status.message == error.details()
    infos = [d for d in status.details if d.Is(error_details_pb2.ErrorInfo.DESCRIPTOR)]
    assert len(infos) == 1
    info = error_details_pb2.ErrorInfo()
    infos[0].Unpack(info)
    assert info.domain == "guerdon"
    assert fits(info.reason, set(info.metadata)), f"{info.reason} tells {dict(info.metadata)}"
    return Failure(error.code(), status, info, trailers)


def seen(failure: Failure) -> tuple[grpc.StatusCode, str]:
    """The two that every error has."""
    return failure.code, failure.reason


async def answer_of(gate: Gate, path: str, message: Message, **how: Any) -> Message:
    """The response of a call that must be answered with OK."""
    answer = await gate.send(path, message, **how)
    assert not isinstance(answer, Failure), answer
    return answer


@contextlib.asynccontextmanager
async def open_gate() -> AsyncIterator[Gate]:
    servicers = Servicers()
    registry = CollectorRegistry()
    services = [(service, servicers.of(service)) for service in SERVICES]
    async with serving(services, registry=registry) as (_, channel):
        yield Gate(channel, servicers, registry)


@contextlib.asynccontextmanager
async def serving(
    services: Sequence[tuple[ServiceDescriptor, object]],
    *,
    reflect: bool = False,
    registry: CollectorRegistry | None = None,
) -> AsyncIterator[tuple[GrpcServer, grpc.aio.Channel]]:
    """A server of these services behind the pipeline, and a channel to it."""
    metrics = PrometheusMetrics(registry or CollectorRegistry())
    server = GrpcServer(services, Pipeline(KnownKeys(), metrics), reflect=reflect)
    port = server.listen("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield server, channel
    await server.stop(0)


def _snake_case(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).removeprefix("_")
