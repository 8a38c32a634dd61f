"""The benchmark's rivals do what they are said to do: only then a ratio means something."""

import asyncio
from collections import Counter
from typing import TypeAlias
from uuid import UUID

import asyncpg
import grpc
import pytest

from guerdon.api.offers.v1.offer_service_pb2 import RedeemResponse
from loadtests.bench.rivals.methods import ECHO, ONE_CALL, TEXTBOOK
from loadtests.bench.rivals.textbook import URL_VARIABLE
from loadtests.bench.scene import prepare_textbook
from loadtests.bench.targets import redeem_message
from loadtests.servers import own_rival
from tests.support.ledger import new_id

TOTAL_LIMIT = 10
PER_CUSTOMER_LIMIT = 3
CALLS_EACH = 5
# Generic for the type checker only; bytes go in and come out.
Method: TypeAlias = "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]"


async def call(port: int, path: str, offer_id: UUID, customer: UUID, calls: int) -> list[str]:
    """`calls` at once; the details of each refusal, 'OK' for the others."""
    request = redeem_message(new_id(), offer_id, customer).SerializeToString()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method: Method = channel.unary_unary(path)
        answers = await asyncio.gather(
            *(method(request) for _ in range(calls)), return_exceptions=True
        )
    return [
        str(answer.details()) if isinstance(answer, grpc.aio.AioRpcError) else "OK"
        for answer in answers
    ]


@pytest.mark.parametrize(("name", "path"), [("textbook", TEXTBOOK), ("one_call", ONE_CALL)])
async def test_a_rival_counts_exactly_over_two_workers(
    name: str, path: str, database_url: str, owner: asyncpg.Connection
) -> None:
    offer_id, customers = new_id(), [new_id() for _ in range(6)]
    limits = (TOTAL_LIMIT, PER_CUSTOMER_LIMIT)
    await prepare_textbook(database_url, offer_id, customers, *limits)
    with own_rival(name, 2, {URL_VARIABLE: database_url}) as port:
        first = await call(port, path, offer_id, customers[0], CALLS_EACH)
        assert Counter(first) == {"OK": PER_CUSTOMER_LIMIT, "Per-user limit reached": 2}
        others = await asyncio.gather(
            *(call(port, path, offer_id, customer, CALLS_EACH) for customer in customers[1:])
        )
        assert await call(port, path, offer_id, new_id(), 1) == ["User not eligible"]
    told = Counter(word for words in others for word in words)
    assert told["OK"] == TOTAL_LIMIT - PER_CUSTOMER_LIMIT
    assert set(told) <= {"OK", "Per-user limit reached", "Offer exhausted"}
    used = await owner.fetchval("select usage_count from textbook.offers")
    rows = await owner.fetchval("select count(*) from textbook.offer_redemptions")
    assert used == rows == TOTAL_LIMIT


async def test_the_echo_answers_as_much_as_a_redeem_does() -> None:
    with own_rival("echo", 1, {}) as port:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            method: Method = channel.unary_unary(ECHO)
            body = await method(b"anything")
    redemption = RedeemResponse.FromString(body).redemption
    assert len(redemption.request_id) == len(redemption.offer_id) == len(str(new_id()))
    assert redemption.line.list_minor > 0
    assert redemption.sequence > 0
    assert redemption.redeem_time.nanos > 0
