"""What every servicer's answer goes through: deadlines, replays, errors, counts, logs."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from structlog.testing import capture_logs

from guerdon.api.offers.v1 import offer_service_pb2
from guerdon.domain.errors import DependencyUnavailable, Overloaded
from guerdon.domain.refusals import Refusal, RefusalReason, Refused
from guerdon.limits import (
    RETRY_AFTER_SECONDS_MAX,
    RETRY_AFTER_SECONDS_MIN,
)
from guerdon.transport.call import Call
from tests.grpc.gate import (
    GOOD_KEY,
    TENANT,
    Failure,
    Gate,
    answer_of,
    seen,
)
from tests.grpc.requests import (
    ID,
    REDEEM,
    redeem_request,
)

Code = grpc.StatusCode


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


@pytest.mark.parametrize("error", [Overloaded(), DependencyUnavailable()])
async def test_what_may_be_tried_again_says_when(gate: Gate, error: Exception) -> None:
    async def fail(_message: Message, _call: Call) -> None:
        raise error

    gate.servicers.behave = fail
    answer = await gate.send(REDEEM, redeem_request())
    assert isinstance(answer, Failure)
    assert answer.code is Code.UNAVAILABLE
    told = int(answer.trailers["grpc-retry-pushback-ms"]) / 1000
    assert RETRY_AFTER_SECONDS_MIN <= told <= RETRY_AFTER_SECONDS_MAX


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
