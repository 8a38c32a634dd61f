"""What the server answers itself: what the core refuses, unknown methods, streams, health."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from guerdon.api.admin.v1 import fact_service_pb2
from guerdon.limits import MESSAGE_BYTES_MAX
from guerdon.transport.call import Call
from tests.grpc.gate import (
    GOOD_KEY,
    SCOPELESS_KEY,
    SERVICES,
    Gate,
    Servicers,
    answer_of,
    read_failure,
    seen,
    serving,
)
from tests.grpc.requests import (
    FACTS,
    OFFERS,
    REDEEM,
    good_transaction,
    redeem_request,
)

STREAM = FACTS + "StreamTransactions"
Code = grpc.StatusCode


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


@pytest.mark.parametrize(
    "path", [OFFERS + "Redeam", "/guerdon.api.offers.v2.OfferService/Redeem", "/x"]
)
async def test_an_unknown_method_is_named(gate: Gate, path: str) -> None:
    before = gate.calls_counted("unknown", "UNIMPLEMENTED", "METHOD_UNKNOWN")
    failure = await gate.fail(path, b"anything")
    assert seen(failure) == (Code.UNIMPLEMENTED, "METHOD_UNKNOWN")
    assert failure.info.metadata["method"] == path
    assert gate.calls_counted("unknown", "UNIMPLEMENTED", "METHOD_UNKNOWN") == before + 1


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


async def test_health_is_what_the_server_is_told() -> None:
    async with serving([]) as (server, channel):
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        statuses = []
        for healthy in (None, True, False):
            if healthy is not None:
                await server.set_healthy(healthy)
            raw = await check(b"", timeout=5)
            statuses.append(health_pb2.HealthCheckResponse.FromString(raw).status)
        answer = health_pb2.HealthCheckResponse
        assert statuses == [answer.NOT_SERVING, answer.SERVING, answer.NOT_SERVING]


@pytest.mark.parametrize("reflect", [True, False])
async def test_reflection_answers_only_where_it_is_asked_for(reflect: bool) -> None:
    question = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    async with serving([], reflect=reflect) as (_, channel):
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


async def test_a_stopping_server_answers_what_it_has_begun_and_takes_no_more() -> None:
    servicers = Servicers()
    began, go_on = asyncio.Event(), asyncio.Event()

    async def answer_late(_message: Message, _call: Call) -> None:
        began.set()
        await go_on.wait()

    servicers.behave = answer_late
    services = [(SERVICES[0], servicers.of(SERVICES[0]))]
    async with serving(services) as (server, channel):
        send: Any = channel.unary_unary(REDEEM)
        how = {"metadata": (("x-api-key", GOOD_KEY),), "timeout": 10}
        early = send(redeem_request().SerializeToString(), **how)
        await began.wait()
        stopping = asyncio.create_task(server.stop(10))
        async with asyncio.timeout(10):
            while await send(b"", **how).code() is not Code.UNAVAILABLE:
                pass
        assert not stopping.done()
        go_on.set()
        assert await early == b""
        await stopping
