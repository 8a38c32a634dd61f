"""What stands before every servicer: size, bytes, key, scope, in this order."""

from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import Message

from guerdon.api.offers.v1 import offer_service_pb2
from guerdon.limits import MESSAGE_BYTES_MAX
from guerdon.transport.call import Call
from tests.grpc.gate import (
    GOOD_KEY,
    METHODS,
    SCOPELESS_KEY,
    TENANT,
    UNARY,
    Failure,
    Gate,
    answer_of,
    read_failure,
    seen,
    serving,
)
from tests.grpc.requests import (
    REDEEM,
    good_requests,
    redeem_request,
)

GOOD = good_requests()
Code = grpc.StatusCode


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

    async with serving([(descriptor, Leaky())]) as (_, channel):
        send: Any = channel.unary_unary("/t.Forgotten/Leak")
        for key in (GOOD_KEY, SCOPELESS_KEY):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await send(b"", metadata=(("x-api-key", key),), timeout=5)
            assert seen(read_failure(caught.value)) == (Code.PERMISSION_DENIED, "SCOPE_MISSING")
