"""The transaction that the requirements' build list gives, written well.

Six statements under the offer's row lock, over a pool of prepared connections. It does less than
Guerdon: no keys, no validation, no request ids, no audience, products or prices.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import UUID

import asyncpg
import grpc

from guerdon.api.offers.v1.offer_service_pb2 import RedeemRequest, RedeemResponse
from guerdon.api.offers.v1.pricing_pb2 import PricedLine
from guerdon.api.offers.v1.redemption_pb2 import Redemption

SCHEMA = Path(__file__).with_name("textbook.sql")
URL_VARIABLE = "TEXTBOOK_DATABASE_URL"
# Connections of one worker: more only queue on the offer's lock (1 to 20 were tried).
CONNECTIONS = 4
DISCOUNT_PERCENT = 10

LOCK_OFFER = """
    select per_user_limit, total_usage_limit from textbook.offers
    where id = $1 and status = 'active' and deleted_at is null
      and (starts_at is null or starts_at <= now()) and (ends_at is null or now() < ends_at)
    for update
"""
IS_ELIGIBLE = "select textbook.is_user_eligible_for_offer($1, $2)"
COUNT_USES = "select count(*) from textbook.offer_redemptions where offer_id = $1 and user_id = $2"
COUNT_UP = """
    update textbook.offers set usage_count = usage_count + 1
    where id = $1 and (total_usage_limit is null or usage_count < total_usage_limit)
    returning usage_count
"""
INSERT = """
    insert into textbook.offer_redemptions (offer_id, user_id, price_paid, discount_amount)
    values ($1, $2, $3, $4) returning id
"""


class Refused(Exception):
    """The transaction rolls back; the text is for the caller."""


async def keep_session(_connection: object) -> None:
    """The transactions leave no state behind, so nothing is reset between two of them."""


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
        try:
            async with pool.acquire() as connection, connection.transaction():
                response = await redeem_within(connection, request)
        except Refused as refused:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(refused))
        return response.SerializeToString()

    async with pool:
        yield redeem


async def redeem_within(
    connection: "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]", request: RedeemRequest
) -> RedeemResponse:
    """Check everything under the offer's lock, count, insert. Raises Refused."""
    offer_id, user_id = UUID(request.offer_id), UUID(request.customer_id)
    offer = await connection.fetchrow(LOCK_OFFER, offer_id)
    if offer is None:
        raise Refused("Offer inactive")
    if not await connection.fetchval(IS_ELIGIBLE, offer_id, user_id):
        raise Refused("User not eligible")
    used = await connection.fetchval(COUNT_USES, offer_id, user_id)
    if offer["per_user_limit"] is not None and used >= offer["per_user_limit"]:
        raise Refused("Per-user limit reached")
    count = await connection.fetchval(COUNT_UP, offer_id)
    if count is None:
        raise Refused("Offer exhausted")
    listed = request.line.quantity * request.line.unit_price_minor
    discount = listed * DISCOUNT_PERCENT // 100
    await connection.fetchval(INSERT, offer_id, user_id, listed - discount, discount)
    return response_for(request, listed, discount, count)


def response_for(request: RedeemRequest, listed: int, discount: int, count: int) -> RedeemResponse:
    line = PricedLine(
        quantity=request.line.quantity,
        unit_price_minor=request.line.unit_price_minor,
        list_minor=listed,
        discount_minor=discount,
        paid_minor=listed - discount,
    )
    redemption = Redemption(
        request_id=request.request_id,
        offer_id=request.offer_id,
        customer_id=request.customer_id,
        line=line,
        currency=request.currency,
        sequence=count,
    )
    return RedeemResponse(redemption=redemption)
