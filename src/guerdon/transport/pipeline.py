"""What every call goes through before and after its servicer: one wrapper, made once a method.

The order is that of the error reasons: size, bytes, API key, scope, fields. The hot path makes no
exception, no log line and no message besides the request and the response.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from guerdon.api.annotations.v1 import annotations_pb2
from guerdon.domain.errors import DeadlinePassed, FieldsInvalid
from guerdon.limits import (
    DEADLINE_SECONDS_DEFAULT,
    DEADLINE_SECONDS_MAX,
    MESSAGE_BYTES_MAX,
    STREAM_SECONDS_MAX,
)
from guerdon.ports import Authenticator
from guerdon.telemetry import Metrics
from guerdon.transport.call import Call, find_key
from guerdon.transport.errors import RETRYABLE_REASONS, CallFailed
from guerdon.transport.pushback import Pushback
from guerdon.transport.reporting import report_error
from guerdon.transport.validation import find_violations

Context = grpc.aio.ServicerContext[bytes, bytes]
# Generic for the type checker only.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
UnaryServicer = Callable[[Any, Call], Awaitable[Message]]
StreamServicer = Callable[[AsyncIterator[Any], Call], AsyncIterator[Message]]

REPLAYED_TRAILERS = (("guerdon-replayed", "true"),)
OK = grpc.StatusCode.OK.name
UNKNOWN = "unknown"


class Method:
    """One RPC as the wrapper needs it, read from the descriptor once."""

    def __init__(self, descriptor: MethodDescriptor) -> None:
        service = descriptor.containing_service
        self.path = f"/{service.full_name}/{descriptor.name}"
        self.label = f"{service.name}/{descriptor.name}"
        self.request_name = descriptor.input_type.full_name
        self.scope: str = descriptor.GetOptions().Extensions[annotations_pb2.required_scope]
        self.request_type: type[Message] = GetMessageClass(descriptor.input_type)
        self.servicer_name = _snake_case(descriptor.name)
        self.streams = bool(descriptor.client_streaming)
        self.seconds_default = STREAM_SECONDS_MAX if self.streams else DEADLINE_SECONDS_DEFAULT
        self.seconds_max = STREAM_SECONDS_MAX if self.streams else DEADLINE_SECONDS_MAX

    def parse(self, raw: bytes) -> Any:
        """The message in the bytes; its fields are not looked at yet."""
        if len(raw) > MESSAGE_BYTES_MAX:
            raise CallFailed(
                "MESSAGE_TOO_LARGE", {"size_bytes": len(raw), "limit_bytes": MESSAGE_BYTES_MAX}
            )
        try:
            return self.request_type.FromString(raw)
        except DecodeError:
            raise CallFailed("MALFORMED_MESSAGE", {"message_type": self.request_name}) from None


class Pipeline:
    """Wraps servicers. A method whose proto names no scope is denied to everyone."""

    def __init__(self, authenticator: Authenticator, metrics: Metrics) -> None:
        self._authenticator = authenticator
        self._metrics = metrics
        self._pushback = Pushback(time.monotonic)

    def wrap(self, service: ServiceDescriptor, servicer: object) -> dict[str, Handler]:
        """Handlers by method path. The servicer has a method for each RPC, in snake case."""
        methods = [Method(descriptor) for descriptor in service.methods]
        return {
            method.path: self._wrap(method, getattr(servicer, method.servicer_name))
            for method in methods
        }

    def wrap_unknown(self, path: str) -> Handler:
        """A handler that says that there is no such method.

        As a stream it waits for no message, so it suits callers of every kind.
        """

        async def refuse(_chunks: AsyncIterator[bytes], context: Context) -> None:
            error = CallFailed("METHOD_UNKNOWN", {"method": path})
            # Under one label, since callers choose the path.
            self._metrics.call_ended(UNKNOWN, *self._refuse(context, error, UNKNOWN, None), 0)

        return grpc.stream_stream_rpc_method_handler(refuse)

    def _wrap(self, method: Method, servicer: Any) -> Handler:
        if method.streams:
            return grpc.stream_stream_rpc_method_handler(self._wrap_stream(method, servicer))
        return grpc.unary_unary_rpc_method_handler(self._wrap_unary(method, servicer))

    def _wrap_unary(
        self, method: Method, servicer: UnaryServicer
    ) -> Callable[[bytes, Context], Awaitable[bytes]]:
        record, label, clock = self._metrics.call_ended, method.label, time.perf_counter
        pushback = self._pushback

        async def serve(raw: bytes, context: Context) -> bytes:
            start = clock()
            call = None
            try:
                message = method.parse(raw)
                call = await self._admit(method, context)
                if violations := find_violations(message):
                    raise FieldsInvalid(violations)
                work = servicer(message, call)
                response = await (_within(call.seconds, work) if call.needs_timer else work)
            except Exception as error:
                code, reason = self._refuse(context, error, label, call)
                record(label, code, reason, clock() - start)
                return b""
            except asyncio.CancelledError:
                record(label, grpc.StatusCode.CANCELLED.name, "", clock() - start)
                raise
            if call.replayed:
                context.set_trailing_metadata(REPLAYED_TRAILERS)
            pushback.answered += 1
            record(label, OK, "", clock() - start)
            return response.SerializeToString()

        return serve

    def _wrap_stream(
        self, method: Method, servicer: StreamServicer
    ) -> Callable[[AsyncIterator[bytes], Context], Awaitable[None]]:
        async def serve(chunks: AsyncIterator[bytes], context: Context) -> None:
            start = time.perf_counter()
            call = None
            code, reason = OK, ""
            try:
                call = await self._admit(method, context)
                answers = servicer(_messages(method, chunks), call)
                await _within(call.seconds, _send(answers, context))
            except Exception as error:
                code, reason = self._refuse(context, error, method.label, call)
            except asyncio.CancelledError:
                code = grpc.StatusCode.CANCELLED.name
                raise
            finally:
                self._metrics.call_ended(method.label, code, reason, time.perf_counter() - start)

        return serve

    async def _admit(self, method: Method, context: Context) -> Call:
        """The call, once its key is good for the method and its deadline is known."""
        key = find_key(context.invocation_metadata())
        if key is None:
            raise CallFailed("API_KEY_MISSING")
        caller = await self._authenticator.authenticate(key)
        # Without a scope in the proto nobody may call, whatever a key carries.
        if not method.scope or method.scope not in caller.scopes:
            raise CallFailed("SCOPE_MISSING", {"required_scope": method.scope})
        remaining = _seconds_left(context)
        if remaining is None:
            return Call(caller, method.seconds_default, self._pushback, needs_timer=True)
        if remaining <= 0:
            raise DeadlinePassed
        # The core itself cancels a call at the deadline that came with it.
        too_far = remaining > method.seconds_max
        seconds = method.seconds_max if too_far else remaining
        return Call(caller, seconds, self._pushback, needs_timer=too_far)

    def _refuse(
        self, context: Context, error: Exception, label: str, call: Call | None
    ) -> tuple[str, str]:
        """Answer the error; its code and reason, for the metrics."""
        answer = report_error(error, label, call, self._pushback.tell)
        self._pushback.answered += answer.reason not in RETRYABLE_REASONS
        context.set_code(answer.code)
        context.set_details(answer.sentence)
        context.set_trailing_metadata(answer.trailers)
        return answer.code.name, answer.reason


def _seconds_left(context: Context) -> float | None:
    """What is left of the caller's deadline; None when it named none, which the stub denies."""
    return context.time_remaining()


async def _within(seconds: float, work: Awaitable[Any]) -> Any:
    """The result of the work, or DEADLINE_EXCEEDED after so many seconds."""
    timer = asyncio.timeout(seconds)
    try:
        async with timer:
            return await work
    except TimeoutError:
        if timer.expired():
            raise CallFailed("DEADLINE_EXCEEDED") from None
        raise


async def _messages(method: Method, chunks: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    async for raw in chunks:
        message = method.parse(raw)
        if violations := find_violations(message):
            raise FieldsInvalid(violations)
        yield message


async def _send(answers: AsyncIterator[Message], context: Context) -> None:
    async for answer in answers:
        await context.write(answer.SerializeToString())


def _snake_case(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).removeprefix("_")
