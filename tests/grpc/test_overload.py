"""What callers meet while a batch cannot get on: shed at once, or dropped when nobody waits."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import asyncpg
import grpc
from google.protobuf import json_format

from guerdon.api.offers.v1.offer_service_pb2 import RedeemRequest
from guerdon.limits import QUEUE_ITEMS_MAX, RETRY_AFTER_SECONDS_MAX, RETRY_AFTER_SECONDS_MIN
from tests.grpc.gate import Failure, read_failure
from tests.grpc.house import PATHS, House, Tenant, redeem_fields
from tests.support.databases import DatabaseFactory
from tests.support.ledger import new_id

BLOCKED_QUERY = (
    "select exists (select from pg_stat_activity where $1 = any (pg_blocking_pids(pid)))"
)
PATIENCE_SECONDS = 10.0
# Deadline of callers who give up: less than a batch waits for a lock.
HASTE_SECONDS = 0.4
WAITING = 20


@contextlib.asynccontextmanager
async def held_up(
    house: House, databases: DatabaseFactory, offer_id: str
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Inside the block somebody holds the offer's lock; what it yields waits for a batch behind."""
    name = await house.owner.fetchval("select current_database()")
    holder = await asyncpg.connect(databases.url(name))

    async def until_waiting() -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            waits = False
            while not waits:
                waits = await house.owner.fetchval(BLOCKED_QUERY, holder.get_server_pid())

    try:
        async with holder.transaction():
            await holder.execute(
                "select from guerdon.offer_counters where offer_id = $1 for no key update",
                UUID(offer_id),
            )
            yield until_waiting
    finally:
        await holder.close()


async def give_up(tenant: Tenant, offer_id: str, request_id: str) -> grpc.StatusCode:
    """How a Redeem ends that is waited for only so long."""
    fields = redeem_fields(offer_id, request_id=request_id)
    request = json_format.ParseDict(fields, RedeemRequest())
    send: Any = tenant.channel.unary_unary(PATHS["Redeem"])
    call = send(
        request.SerializeToString(), metadata=(("x-api-key", tenant.key),), timeout=HASTE_SECONDS
    )
    code: grpc.StatusCode = await call.code()
    return code


async def outcome(call: Awaitable[Any]) -> Failure | None:
    """The error that the call ends with; None when it is answered."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return read_failure(error)
    return None


async def test_what_has_no_room_is_shed_while_the_others_still_wait(
    house: House, tenant: Tenant, databases: DatabaseFactory
) -> None:
    offer_id = await tenant.new_offer()
    async with held_up(house, databases, offer_id) as until_waiting:
        calls = [asyncio.create_task(outcome(tenant.redeem(offer_id)))]
        await until_waiting()
        calls += [
            asyncio.create_task(outcome(tenant.redeem(offer_id))) for _ in range(QUEUE_ITEMS_MAX)
        ]
        done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        shed = [call.result() for call in done]
    for call in calls:
        call.cancel()
    for failure in shed:
        assert failure is not None
        assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
        told = int(failure.trailers["grpc-retry-pushback-ms"]) / 1000
        assert RETRY_AFTER_SECONDS_MIN <= told <= RETRY_AFTER_SECONDS_MAX


async def test_whoever_gave_up_waiting_for_a_batch_gets_nothing_done(
    house: House, tenant: Tenant, databases: DatabaseFactory
) -> None:
    offer_id = await tenant.new_offer()
    ids = [str(new_id()) for _ in range(WAITING)]
    async with held_up(house, databases, offer_id) as until_waiting:
        first = asyncio.create_task(outcome(tenant.redeem(offer_id)))
        await until_waiting()
        gave_up = await asyncio.gather(*(give_up(tenant, offer_id, one) for one in ids))
    await first
    assert set(gave_up) == {grpc.StatusCode.DEADLINE_EXCEEDED}
    # Its batch comes after the one that they would have been in.
    assert await outcome(tenant.redeem(offer_id)) is None
    found = await house.owner.fetch(
        "select request_id from guerdon.redemptions where request_id = any ($1::uuid[])", ids
    )
    assert not found
