"""What every call goes through: size, bytes, key, scope, deadline, errors, counts."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from guerdon.api.admin.v1 import fact_service_pb2
from guerdon.api.offers.v1 import offer_service_pb2
from guerdon.domain.errors import DependencyUnavailable, Overloaded
from guerdon.domain.refusals import Refusal, RefusalReason, Refused
from guerdon.limits import MESSAGE_BYTES_MAX
from guerdon.telemetry import PrometheusMetrics
from guerdon.transport.call import Call
from guerdon.transport.pipeline import Pipeline
from guerdon.transport.server import GrpcServer
from tests.grpc.gate import (
    GOOD_KEY,
    METHODS,
    SCOPELESS_KEY,
    TENANT,
    UNARY,
    Failure,
    Gate,
    KnownKeys,
    read_failure,
)
from tests.grpc.requests import (
    FACTS,
    ID,
    OFFERS,
    REDEEM,
    good_requests,
    good_transaction,
    redeem_request,
)

GOOD = good_requests()
STREAM = FACTS + "StreamTransactions"
Code = grpc.StatusCode


def seen(failure: Failure) -> tuple[grpc.StatusCode, str]:
    return failure.code, failure.reason


async def answer_of(gate: Gate, path: str, message: Message, **how: Any) -> Message:
    answer = await gate.send(path, message, **how)
    assert not isinstance(answer, Failure), answer
    return answer


# Size and bytes


@pytest.mark.parametrize("path", UNARY)
async def test_a_truncated_message_is_malformed(gate: Gate, path: str) -> None:
    failure = await gate.fail(path, GOOD[path].SerializeToString()[:-1])
    assert seen(failure) == (Code.INVALID_ARGUMENT, "MALFORMED_MESSAGE")
    assert failure.info.metadata["message_type"] == METHODS[path].input_type.full_name


@pytest.mark.parametrize(
    "raw",
    [b"\xff", b"\x0a\x02\xc3\x28", b"\x0a\xff\xff\xff\xff\x0f", b"not a message at all"],
    ids=["a lone byte", "text that is not UTF-8", "a length beyond the end", "prose"],
)
async def test_bytes_that_are_no_message_are_malformed(gate: Gate, raw: bytes) -> None:
    assert seen(await gate.fail(REDEEM, raw)) == (Code.INVALID_ARGUMENT, "MALFORMED_MESSAGE")


async def test_params_nested_a_thousand_deep_are_malformed(gate: Gate) -> None:
    # A Struct in a Value in a Struct ...: fields of {1: key, 2: value}, value.struct_value = 5.
    value = b"\x1a\x01x"
    for _ in range(1000):
        entry = b"\x0a\x01a\x12" + varint(len(value)) + value
        struct = b"\x0a" + varint(len(entry)) + entry
        value = b"\x2a" + varint(len(struct)) + struct
    struct = value[1 + len(varint(len(value))) :]
    rule = b"\x1a" + varint(len(struct)) + struct
    offer = b"\xd2\x01" + varint(len(rule)) + rule
    failure = await gate.fail(
        "/guerdon.api.admin.v1.OfferAdminService/CreateOffer",
        b"\x0a" + varint(len(offer)) + offer,
    )
    assert seen(failure) == (Code.INVALID_ARGUMENT, "MALFORMED_MESSAGE")


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


async def test_a_message_over_the_bound_is_told_both_sizes(gate: Gate) -> None:
    raw = redeem_request().SerializeToString()
    # An unknown field pads the message to the byte.
    room = MESSAGE_BYTES_MAX - len(raw) - 5
    padded = raw + b"\xa2\x06" + varint(room) + b"x" * room
    assert len(padded) == MESSAGE_BYTES_MAX
    assert not isinstance(await gate.send(REDEEM, padded), Failure)
    failure = await gate.fail(REDEEM, padded + b"\xa8\x06\x01")
    assert seen(failure) == (Code.INVALID_ARGUMENT, "MESSAGE_TOO_LARGE")
    assert failure.info.metadata["limit_bytes"] == str(MESSAGE_BYTES_MAX)


async def test_size_and_bytes_are_judged_before_the_key(gate: Gate) -> None:
    assert (await gate.fail(REDEEM, b"\xff", key=None)).reason == "MALFORMED_MESSAGE"
    large = b"x" * (MESSAGE_BYTES_MAX + 1)
    assert (await gate.fail(REDEEM, large, key=None)).reason == "MESSAGE_TOO_LARGE"


# What the core itself refuses, without a reason of ours; named in docs/errors.md.


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"request": b"x" * (5 * MESSAGE_BYTES_MAX)}, Code.RESOURCE_EXHAUSTED),
        ({"metadata": (("filler", "x" * 20_000),)}, Code.RESOURCE_EXHAUSTED),
        ({"compression": grpc.Compression.Gzip}, Code.UNIMPLEMENTED),
    ],
    ids=["5 MiB", "20 KB of metadata", "compressed"],
)
async def test_the_core_refuses_what_could_exhaust_it(
    gate: Gate, how: dict[str, Any], code: grpc.StatusCode
) -> None:
    send: Any = gate.channel.unary_unary(REDEEM)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await send(**{"request": b"\x00" * 10_000, "timeout": 5, **how})
    assert caught.value.code() is code
    assert not gate.servicers.passed
    await answer_of(gate, REDEEM, redeem_request())


# Keys and scopes


@pytest.mark.parametrize("path", UNARY)
async def test_no_method_answers_without_a_good_key(gate: Gate, path: str) -> None:
    missing = await gate.fail(path, GOOD[path], key=None)
    assert seen(missing) == (Code.UNAUTHENTICATED, "API_KEY_MISSING")
    unknown = await gate.fail(path, GOOD[path], key="nobody's")
    assert seen(unknown) == (Code.UNAUTHENTICATED, "API_KEY_INVALID")


@pytest.mark.parametrize("path", UNARY)
async def test_no_method_answers_a_key_without_its_scope(gate: Gate, path: str) -> None:
    failure = await gate.fail(path, GOOD[path], key=SCOPELESS_KEY)
    assert seen(failure) == (Code.PERMISSION_DENIED, "SCOPE_MISSING")
    assert failure.info.metadata["required_scope"]


async def test_key_and_scope_are_judged_before_the_fields(gate: Gate) -> None:
    nothing = offer_service_pb2.RedeemRequest()
    assert (await gate.fail(REDEEM, nothing, key=None)).reason == "API_KEY_MISSING"
    assert (await gate.fail(REDEEM, nothing, key=SCOPELESS_KEY)).reason == "SCOPE_MISSING"


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ((("x-api-key", GOOD_KEY),), None),
        ((("authorization", f"bearer {GOOD_KEY}"),), None),
        ((("x-api-key", "nobody's"), ("authorization", f"Bearer {GOOD_KEY}")), None),
        ((("authorization", "Bearer nobody's"), ("x-api-key", GOOD_KEY)), "API_KEY_INVALID"),
        ((("authorization", "a-key-without-its-scheme"),), "API_KEY_MISSING"),
        ((("authorization", "Basic dXNlcjpwYXNz"),), "API_KEY_MISSING"),
        ((("authorization", "Bearer "),), "API_KEY_MISSING"),
        ((("x-api-key", ""),), "API_KEY_MISSING"),
        ((("grpc-metadata-x-api-key", GOOD_KEY),), "API_KEY_MISSING"),
    ],
)
async def test_where_a_key_is_looked_for(
    gate: Gate, metadata: tuple[tuple[str, str], ...], reason: str | None
) -> None:
    answer = await gate.send(REDEEM, redeem_request(), key=None, metadata=metadata)
    assert (answer.reason if isinstance(answer, Failure) else None) == reason


async def test_a_servicer_knows_the_tenant_of_the_key(gate: Gate) -> None:
    await answer_of(gate, REDEEM, redeem_request())
    assert gate.servicers.calls[0].tenant_id == TENANT
    assert gate.servicers.calls[0].caller.key_id == "good"


async def test_a_method_whose_proto_names_no_scope_is_denied_to_everyone() -> None:
    pool = descriptor_pool.DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto(name="forgotten.proto", package="t", syntax="proto3")
    file.message_type.add(name="Nothing")
    service = file.service.add(name="Forgotten")
    service.method.add(name="Leak", input_type=".t.Nothing", output_type=".t.Nothing")
    pool.Add(file)
    descriptor = pool.FindServiceByName("t.Forgotten")

    class Leaky:
        async def leak(self, message: Message, call: Call) -> Message:
            return message

    async with serving([(descriptor, Leaky())]) as channel:
        send: Any = channel.unary_unary("/t.Forgotten/Leak")
        for key in (GOOD_KEY, SCOPELESS_KEY):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await send(b"", metadata=(("x-api-key", key),), timeout=5)
            assert seen(read_failure(caught.value)) == (Code.PERMISSION_DENIED, "SCOPE_MISSING")


@contextlib.asynccontextmanager
async def serving(
    services: list[tuple[Any, object]], *, reflect: bool = False
) -> AsyncIterator[grpc.aio.Channel]:
    metrics = PrometheusMetrics(CollectorRegistry())
    server = GrpcServer(services, Pipeline(KnownKeys(), metrics), reflect=reflect)
    port = server.listen("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(0)


# Deadlines


@pytest.mark.parametrize(
    ("timeout", "lowest", "highest"),
    [(None, 2, 2), (5, 4, 5.1), (10 * 365 * 86_400, 30, 30)],
    ids=["absent: 2 s", "5 s", "10 years: 30 s"],
)
async def test_a_servicer_knows_how_long_its_answer_is_waited_for(
    gate: Gate, timeout: float | None, lowest: float, highest: float
) -> None:
    await answer_of(gate, REDEEM, redeem_request(), timeout=timeout)
    assert lowest <= gate.servicers.calls[0].seconds <= highest


async def test_a_deadline_that_has_passed_reaches_no_servicer(gate: Gate) -> None:
    send: Any = gate.channel.unary_unary(REDEEM)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await send(redeem_request().SerializeToString(), timeout=-1)
    assert caught.value.code() is Code.DEADLINE_EXCEEDED
    assert not gate.servicers.passed


async def test_a_call_without_a_deadline_ends_all_the_same(gate: Gate) -> None:
    ended = asyncio.Event()

    async def wait_for_ever(_message: Message, _call: Call) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    gate.servicers.behave = wait_for_ever
    answer = await gate.send(REDEEM, redeem_request(), timeout=None)
    assert isinstance(answer, Failure)
    assert seen(answer) == (Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert ended.is_set()


async def test_a_timeout_inside_a_servicer_is_not_taken_for_the_deadline(gate: Gate) -> None:
    async def give_up(_message: Message, _call: Call) -> None:
        raise TimeoutError

    gate.servicers.behave = give_up
    answer = await gate.send(REDEEM, redeem_request(), timeout=None)
    assert isinstance(answer, Failure)
    assert answer.reason == "INTERNAL"


async def test_a_caller_who_gives_up_ends_the_servicer(gate: Gate) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def wait_for_ever(_message: Message, _call: Call) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    gate.servicers.behave = wait_for_ever
    before = gate.calls_counted("OfferService/Redeem", "CANCELLED", "")
    send: Any = gate.channel.unary_unary(REDEEM)
    call = send(redeem_request().SerializeToString(), metadata=(("x-api-key", GOOD_KEY),))
    await began.wait()
    call.cancel()
    await asyncio.wait_for(ended.wait(), 5)
    assert gate.calls_counted("OfferService/Redeem", "CANCELLED", "") == before + 1


# Answers


async def test_a_replay_is_told_in_the_trailing_metadata_alone(gate: Gate) -> None:
    async def replay(_message: Message, call: Call) -> None:
        call.replayed = bool(replaying)

    gate.servicers.behave = replay
    for replaying in (True, False):
        send: Any = gate.channel.unary_unary(REDEEM)
        call = send(redeem_request().SerializeToString(), metadata=(("x-api-key", GOOD_KEY),))
        await call
        assert ("guerdon-replayed" in dict(await call.trailing_metadata())) == replaying


async def test_a_refusal_carries_its_variables_and_is_counted(gate: Gate) -> None:
    async def refuse(_message: Message, _call: Call) -> None:
        raise Refused(Refusal(RefusalReason.TOTAL_LIMIT_REACHED, {"offer_id": ID, "limit": 1000}))

    gate.servicers.behave = refuse
    labels = ("OfferService/Redeem", "RESOURCE_EXHAUSTED", "TOTAL_LIMIT_REACHED")
    before = gate.calls_counted(*labels)
    answer = await gate.send(REDEEM, redeem_request())
    assert isinstance(answer, Failure)
    assert seen(answer) == (Code.RESOURCE_EXHAUSTED, "TOTAL_LIMIT_REACHED")
    assert dict(answer.info.metadata) == {"offer_id": ID, "limit": "1000"}
    assert gate.calls_counted(*labels) == before + 1


@pytest.mark.parametrize("error", [Overloaded(0.5), DependencyUnavailable()])
async def test_what_may_be_tried_again_says_when(gate: Gate, error: Exception) -> None:
    async def fail(_message: Message, _call: Call) -> None:
        raise error

    gate.servicers.behave = fail
    answer = await gate.send(REDEEM, redeem_request())
    assert isinstance(answer, Failure)
    assert answer.code is Code.UNAVAILABLE
    assert answer.trailers["grpc-retry-pushback-ms"] == "500"


async def test_a_bug_is_logged_in_full_and_answered_with_nothing_of_it(gate: Gate) -> None:
    async def crash(_message: Message, _call: Call) -> None:
        raise RuntimeError("select secret from guerdon.api_keys")

    gate.servicers.behave = crash
    with capture_logs() as logs:
        answer = await gate.send(REDEEM, redeem_request())
    assert isinstance(answer, Failure)
    assert seen(answer) == (Code.INTERNAL, "INTERNAL")
    assert b"secret" not in answer.status.SerializeToString()
    assert len(logs) == 1
    assert str(logs[0]["exc_info"]) == "select secret from guerdon.api_keys"
    assert logs[0]["request_id"] == answer.info.metadata["server_request_id"]
    assert logs[0]["tenant_id"] == str(TENANT)


async def test_what_is_expected_writes_no_log(gate: Gate) -> None:
    with capture_logs() as logs:
        await gate.send(REDEEM, redeem_request())
        await gate.send(REDEEM, offer_service_pb2.RedeemRequest())
        await gate.send(REDEEM, redeem_request(), key=None)
    assert logs == []


@pytest.mark.parametrize(
    "path", [OFFERS + "Redeam", "/guerdon.api.offers.v2.OfferService/Redeem", "/x"]
)
async def test_an_unknown_method_is_named(gate: Gate, path: str) -> None:
    failure = await gate.fail(path, b"anything")
    assert seen(failure) == (Code.UNIMPLEMENTED, "METHOD_UNKNOWN")
    assert failure.info.metadata["method"] == path


# The stream


def chunk(number: int) -> bytes:
    message = fact_service_pb2.StreamTransactionsRequest(
        chunk_number=number, transactions=[good_transaction()]
    )
    return message.SerializeToString()


def open_stream(gate: Gate, key: str | None = GOOD_KEY) -> Any:
    stream: Any = gate.channel.stream_stream(STREAM)
    return stream(metadata=() if key is None else (("x-api-key", key),), timeout=5)


async def test_each_chunk_of_a_stream_is_answered(gate: Gate) -> None:
    stream = open_stream(gate)
    for number in (1, 2, 3):
        await stream.write(chunk(number))
        fact_service_pb2.StreamTransactionsResponse.FromString(await stream.read())
        assert len(gate.servicers.passed) == number
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF
    assert await stream.code() is Code.OK


@pytest.mark.parametrize(
    ("raw", "reason", "fields"),
    [
        (b"\xff", "MALFORMED_MESSAGE", []),
        (b"x" * (MESSAGE_BYTES_MAX + 1), "MESSAGE_TOO_LARGE", []),
        (b"\x08\x02", "FIELDS_INVALID", ["transactions"]),
    ],
)
async def test_a_bad_chunk_ends_the_stream_after_those_before_it(
    gate: Gate, raw: bytes, reason: str, fields: list[str]
) -> None:
    stream = open_stream(gate)
    await stream.write(chunk(1))
    await stream.read()
    await stream.write(raw)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    failure = read_failure(caught.value)
    assert (failure.reason, failure.fields) == (reason, fields)
    assert len(gate.servicers.passed) == 1


@pytest.mark.parametrize(
    ("key", "reason"), [(None, "API_KEY_MISSING"), (SCOPELESS_KEY, "SCOPE_MISSING")]
)
async def test_a_stream_needs_a_key_before_its_first_chunk(
    gate: Gate, key: str | None, reason: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await open_stream(gate, key).read()
    assert read_failure(caught.value).reason == reason


# Health and reflection


async def test_health_is_what_the_server_is_told() -> None:
    metrics = PrometheusMetrics(CollectorRegistry())
    server = GrpcServer([], Pipeline(KnownKeys(), metrics), reflect=False)
    port = server.listen("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        statuses = []
        for healthy in (None, True, False):
            if healthy is not None:
                await server.set_healthy(healthy)
            answer = await check(b"", timeout=5)
            statuses.append(health_pb2.HealthCheckResponse.FromString(answer).status)
        serving, not_serving = statuses[1], statuses[0]
        assert serving == health_pb2.HealthCheckResponse.SERVING
        assert not_serving == statuses[2] == health_pb2.HealthCheckResponse.NOT_SERVING
    await server.stop(0)


@pytest.mark.parametrize("reflect", [True, False])
async def test_reflection_answers_only_where_it_is_asked_for(reflect: bool) -> None:
    question = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    async with serving([], reflect=reflect) as channel:
        path = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        stream: Any = channel.stream_stream(path)
        call = stream(timeout=5)
        await call.write(question)
        if reflect:
            answer = reflection_pb2.ServerReflectionResponse.FromString(await call.read())
            names = [service.name for service in answer.list_services_response.service]
            assert "grpc.health.v1.Health" in names
        else:
            assert await call.code() is Code.UNIMPLEMENTED
