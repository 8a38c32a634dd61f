"""Who waits for whom, with real sessions: a step goes on once it sees the block it needs."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import asyncpg
import msgspec
import pytest

from guerdon.adapters.postgres import queries
from guerdon.adapters.postgres.connection import PoolConnection
from guerdon.adapters.postgres.errors import GRANTS_COLLIDED
from guerdon.adapters.postgres.offers import PostgresOffers
from guerdon.adapters.postgres.redeem_arrays import GRANTED, REPLAYED, STALE, RedeemArrays
from guerdon.domain.identifiers import OfferId
from guerdon.domain.offers import OfferStatus
from guerdon.domain.redemption import RedemptionItem
from guerdon.domain.refusals import RefusalReason
from guerdon.limits import EDIT_LOCK_TIMEOUT_MILLISECONDS
from tests.races.site import Tenant
from tests.support.ledger import counters, item

BLOCK_SECONDS_MAX = 10.0
TOTAL_LIMIT_REACHED = int(RefusalReason.TOTAL_LIMIT_REACHED)
OFFER_ENDED = int(RefusalReason.OFFER_ENDED)
REQUEST_REVOKED = int(RefusalReason.REQUEST_REVOKED)
REQUEST_ID_REUSED = int(RefusalReason.REQUEST_ID_REUSED)

Result = TypeVar("Result")


class Session:
    """One connection as a server has it."""

    def __init__(self, connection: PoolConnection, tenant: Tenant) -> None:
        self.connection = connection
        self.tenant = tenant
        self.pid: int = connection.get_server_pid()

    async def redeem(self, *items: RedemptionItem) -> list[int]:
        """The outcomes as redeem_v1 numbers them."""
        arguments = RedeemArrays(self.tenant.tenant_id, items).arguments()
        row = await self.connection.fetchrow(queries.text("redeem"), *arguments)
        assert row is not None
        return list(row["o_outcomes"])

    async def revoke(self, revoked: RedemptionItem) -> str:
        request_id = revoked.command.request_id
        tenant_id = self.tenant.tenant_id
        row = await self.connection.fetchrow(queries.text("revoke"), tenant_id, request_id, "")
        assert row is not None
        return str(row["o_outcome"])

    async def pause(self, offer_id: OfferId) -> bool:
        """Whether it was written, as version 2 of the offer."""
        tenant_id = self.tenant.tenant_id
        record = await PostgresOffers(self.tenant.store.database).find(tenant_id, offer_id)
        assert record is not None
        offer = msgspec.structs.replace(record.draft.offer, status=OfferStatus.PAUSED, version=2)
        draft = msgspec.structs.replace(record.draft, offer=offer)
        row = await self.connection.fetchrow(
            queries.text("write_offer"), tenant_id, draft, None, 1, False, "test",
            EDIT_LOCK_TIMEOUT_MILLISECONDS,
        )  # fmt: skip
        assert row is not None
        return bool(row["o_written"])


@pytest.fixture
async def first(tenant: Tenant) -> AsyncIterator[Session]:
    async with tenant.store.database.connection() as connection:
        yield Session(connection, tenant)


@pytest.fixture
async def second(tenant: Tenant) -> AsyncIterator[Session]:
    async with tenant.store.database.connection() as connection:
        yield Session(connection, tenant)


async def answer_behind(
    holder: Session, waiter: Session, work: Coroutine[Any, Any, Result], *, commits: bool = True
) -> Result:
    """The answer to the waiter's work, which is seen to wait for the holder's transaction before
    that one ends."""
    task = asyncio.create_task(work)
    await until_blocked(holder.tenant.store.owner, waiter, holder)
    await holder.connection.execute("commit" if commits else "rollback")
    return await task


async def until_blocked(owner: asyncpg.Connection, waiting: Session, holding: Session) -> None:
    deadline = time.monotonic() + BLOCK_SECONDS_MAX
    blocked = "select $1::int = any (pg_blocking_pids($2))"
    while not await owner.fetchval(blocked, holding.pid, waiting.pid):
        assert time.monotonic() < deadline, "nobody waits"


async def begin(session: Session) -> None:
    await session.connection.execute("begin")


async def test_a_redeem_waits_for_an_edit_and_then_sees_its_version(
    tenant: Tenant, first: Session, second: Session
) -> None:
    offer_id = await tenant.new_offer()
    await begin(first)
    assert await first.pause(offer_id)
    assert await answer_behind(first, second, second.redeem(item_of(tenant, offer_id))) == [STALE]
    assert (await counters(tenant.store.owner, offer_id))["live_rows"] == 0


async def test_an_edit_waits_for_a_redeem_and_numbers_itself_behind_it(
    tenant: Tenant, first: Session, second: Session
) -> None:
    offer_id = await tenant.new_offer()
    await begin(first)
    assert await first.redeem(item_of(tenant, offer_id)) == [GRANTED]
    assert await answer_behind(first, second, second.pause(offer_id))
    edited = "select sequence from guerdon.offer_effects where offer_id = $1 and kind = 'edited'"
    assert await tenant.store.owner.fetchval(edited, offer_id) == 2


@pytest.mark.parametrize(("commits", "outcome"), [(True, TOTAL_LIMIT_REACHED), (False, GRANTED)])
async def test_the_last_use_goes_to_the_second_only_if_the_first_lets_go_of_it(
    tenant: Tenant, first: Session, second: Session, commits: bool, outcome: int
) -> None:
    offer_id = await tenant.new_offer(total_limit=1)
    await begin(first)
    assert await first.redeem(item_of(tenant, offer_id)) == [GRANTED]
    late = second.redeem(item_of(tenant, offer_id))
    assert await answer_behind(first, second, late, commits=commits) == [outcome]
    assert (await counters(tenant.store.owner, offer_id))["used"] == 1


@pytest.mark.parametrize(("commits", "outcome"), [(True, "revoked"), (False, "tombstoned")])
async def test_a_revoke_waits_for_the_redeem_of_its_request(
    tenant: Tenant, first: Session, second: Session, commits: bool, outcome: str
) -> None:
    offer_id = await tenant.new_offer()
    raced = item_of(tenant, offer_id)
    await begin(first)
    assert await first.redeem(raced) == [GRANTED]
    assert await answer_behind(first, second, second.revoke(raced), commits=commits) == outcome
    row = await counters(tenant.store.owner, offer_id)
    assert (row["used"], row["last_sequence"]) == (0, 2 if commits else 0)


async def test_a_redeem_waits_for_the_tombstone_of_its_request(
    tenant: Tenant, first: Session, second: Session
) -> None:
    offer_id = await tenant.new_offer()
    raced = item_of(tenant, offer_id)
    await begin(first)
    assert await first.revoke(raced) == "tombstoned"
    with pytest.raises(asyncpg.PostgresError) as collided:
        await answer_behind(first, second, second.redeem(raced))
    assert collided.value.sqlstate == GRANTS_COLLIDED
    assert await second.redeem(raced) == [REQUEST_REVOKED]


async def test_a_redeem_behind_a_revoke_takes_the_use_that_came_back(
    tenant: Tenant, first: Session, second: Session
) -> None:
    offer_id = await tenant.new_offer(total_limit=1)
    given_back = item_of(tenant, offer_id)
    assert await first.redeem(given_back) == [GRANTED]
    await begin(first)
    assert await first.revoke(given_back) == "revoked"
    late = second.redeem(item_of(tenant, offer_id))
    assert await answer_behind(first, second, late) == [GRANTED]
    assert (await counters(tenant.store.owner, offer_id))["used"] == 1


async def test_a_window_that_ends_while_a_redeem_waits_is_over_for_it(
    tenant: Tenant, first: Session, second: Session
) -> None:
    owner = tenant.store.owner
    ends_at = await owner.fetchval("select clock_timestamp() + interval '1 second'")
    offer_id = await tenant.new_offer(ends_at=ends_at)
    await begin(first)
    assert await first.redeem(item_of(tenant, offer_id)) == [GRANTED]
    late = asyncio.create_task(second.redeem(item_of(tenant, offer_id)))
    await until_blocked(owner, second, first)
    while await owner.fetchval("select clock_timestamp() < $1", ends_at):
        pass
    await first.connection.execute("commit")
    assert await late == [OFFER_ENDED]


async def test_a_twin_waits_for_the_first_and_replays_it(
    tenant: Tenant, first: Session, second: Session
) -> None:
    twin = item_of(tenant, await tenant.new_offer())
    await begin(first)
    assert await first.redeem(twin) == [GRANTED]
    assert await answer_behind(first, second, second.redeem(twin)) == [REPLAYED]


async def test_a_twin_for_another_offer_waits_at_the_request_id_and_is_refused(
    tenant: Tenant, first: Session, second: Session
) -> None:
    twin = item_of(tenant, await tenant.new_offer())
    other = item(tenant.tenant_id, await tenant.new_offer(), request_id=twin.command.request_id)
    await begin(first)
    assert await first.redeem(twin) == [GRANTED]
    with pytest.raises(asyncpg.PostgresError) as collided:
        await answer_behind(first, second, second.redeem(other))
    assert collided.value.sqlstate == GRANTS_COLLIDED
    assert await second.redeem(other) == [REQUEST_ID_REUSED]
    assert (await counters(tenant.store.owner, other.offer_id))["used"] == 0


async def test_offers_are_locked_in_the_order_of_their_ids(
    tenant: Tenant, first: Session, second: Session
) -> None:
    lower, higher = sorted([await tenant.new_offer(), await tenant.new_offer()])
    await begin(first)
    assert await first.redeem(item_of(tenant, lower)) == [GRANTED]
    both = asyncio.create_task(second.redeem(item_of(tenant, higher), item_of(tenant, lower)))
    await until_blocked(tenant.store.owner, second, first)
    # Had it begun with the item that came first, this would wait for it, and it for the first.
    assert await first.redeem(item_of(tenant, higher)) == [GRANTED]
    await first.connection.execute("commit")
    assert await both == [GRANTED, GRANTED]


def item_of(tenant: Tenant, offer_id: OfferId) -> RedemptionItem:
    return item(tenant.tenant_id, offer_id)
