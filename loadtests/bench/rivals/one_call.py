"""The textbook transaction as one PL/pgSQL function: a single round trip for each request.

What a careful team would write next: the lock is held for a function's time and a flush, not for
six round trips. Like the textbook it knows no keys, validation, request ids, products or prices.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import UUID

import asyncpg
import grpc

from guerdon.api.offers.v1.offer_service_pb2 import RedeemRequest
from loadtests.bench.rivals.textbook import (
    CONNECTIONS,
    DISCOUNT_PERCENT,
    URL_VARIABLE,
    keep_session,
    response_for,
)

FUNCTION = Path(__file__).with_name("one_call.sql")
REDEEM = "select o_count, o_refusal from textbook.redeem_offer($1, $2, $3, $4)"


@contextlib.asynccontextmanager
async def method() -> AsyncIterator[
    Callable[[bytes, "grpc.aio.ServicerContext[bytes, bytes]"], Awaitable[bytes]]
]:
    """Works on the database that URL_VARIABLE names."""
    pool = await asyncpg.create_pool(
        os.environ[URL_VARIABLE], min_size=CONNECTIONS, max_size=CONNECTIONS, reset=keep_session
    )

    async def redeem(raw: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        request = RedeemRequest.FromString(raw)
        listed = request.line.quantity * request.line.unit_price_minor
        discount = listed * DISCOUNT_PERCENT // 100
        row = await pool.fetchrow(
            REDEEM, UUID(request.offer_id), UUID(request.customer_id), listed - discount, discount
        )
        assert row is not None, "a function with out parameters answers one row"
        if row["o_refusal"] is not None:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, row["o_refusal"])
        return response_for(request, listed, discount, row["o_count"]).SerializeToString()

    async with pool:
        yield redeem
