"""Redeem over cache, Redis and Postgres: refusals are true, hints may lie, retries are safe."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from guerdon.adapters.postgres.connection import Database
from guerdon.dataplane import redeem
from guerdon.domain.errors import DependencyUnavailable
from guerdon.domain.identifiers import OfferId, TenantId
from guerdon.domain.redemption import RevokeOutcome
from guerdon.ports import Counters
from tests.dataplane.engine import SECONDS, Engine, command, open_engine
from tests.support.ledger import counters, insert_offer, insert_tenant, new_id


@pytest.fixture
async def engine(database: Database, redis_url: str) -> AsyncIterator[Engine]:
    async with open_engine(database, redis_url) as opened:
        yield opened


@pytest.fixture
async def tenant(owner: asyncpg.Connection) -> TenantId:
    return await insert_tenant(owner)


async def edit(owner: asyncpg.Connection, offer: OfferId, change: str) -> None:
    """An edit as another server commits it, with every invalidation lost."""
    async with owner.transaction():
        await owner.execute(
            "select from guerdon.offer_counters where offer_id = $1 for no key update", offer
        )
        await owner.execute(
            f"update guerdon.offers set {change}, version = version + 1 where offer_id = $1", offer
        )
        await owner.execute(
            "update guerdon.offer_counters set version = version + 1,"
            " last_sequence = last_sequence + 1 where offer_id = $1",
            offer,
        )


async def test_limits_are_reached_exactly_by_two_engines(
    engine: Engine,
    database: Database,
    redis_url: str,
    owner: asyncpg.Connection,
    tenant: TenantId,
) -> None:
    offer = await insert_offer(owner, tenant, total_limit=100, per_customer_limit=2)
    customers = [new_id() for _ in range(80)]
    commands = [command(tenant, offer, customer_id=customers[n % 80]) for n in range(400)]
    async with open_engine(database, redis_url) as other:
        engines = (engine, other)
        words = await asyncio.gather(
            *(engines[n % 2].outcome(each) for n, each in enumerate(commands))
        )
    assert Counter(words)["GRANTED"] == 100
    assert set(words) == {"GRANTED", "TOTAL_LIMIT_REACHED", "CUSTOMER_LIMIT_REACHED"}
    row = await counters(owner, offer)
    assert row["used"] == row["live_rows"] == row["last_sequence"] == 100


async def test_a_retry_of_a_granted_request_is_never_refused(
    engine: Engine, owner: asyncpg.Connection, tenant: TenantId
) -> None:
    offer = await insert_offer(owner, tenant, total_limit=1)
    first = command(tenant, offer)
    assert await engine.outcome(first) == "GRANTED"
    assert await engine.outcome(command(tenant, offer)) == "TOTAL_LIMIT_REACHED"
    assert await engine.outcome(first) == "REPLAYED"
    await edit(owner, offer, "status = 'paused'")
    assert await engine.outcome(first) == "REPLAYED"
    assert await engine.outcome(command(tenant, offer)) == "OFFER_NOT_ACTIVE"
    other = command(tenant, offer, request_id=first.request_id, quantity=2)
    assert await engine.outcome(other) == "REQUEST_ID_REUSED"


async def test_an_edit_is_seen_at_once_though_every_invalidation_is_lost(
    engine: Engine, owner: asyncpg.Connection, tenant: TenantId
) -> None:
    offer = await insert_offer(owner, tenant)
    assert await engine.outcome(command(tenant, offer)) == "GRANTED"
    await edit(owner, offer, "discount_bps = 2000")
    priced = command(tenant, offer, expected_paid_minor=800)
    assert await engine.outcome(priced) == "GRANTED"
    await edit(owner, offer, "status = 'paused'")
    assert await engine.outcome(command(tenant, offer)) == "OFFER_NOT_ACTIVE"
    await edit(owner, offer, "status = 'active'")
    assert await engine.outcome(command(tenant, offer)) == "GRANTED"


async def test_an_offer_that_appears_is_found_though_its_absence_was_cached(
    engine: Engine, owner: asyncpg.Connection, tenant: TenantId
) -> None:
    assert await engine.outcome(command(tenant, "save10")) == "OFFER_NOT_FOUND"
    await insert_offer(owner, tenant, code="SAVE10", code_normalised="save10")
    assert await engine.outcome(command(tenant, "save10")) == "GRANTED"


async def test_a_code_that_moves_leads_to_the_offer_that_has_it(
    engine: Engine, owner: asyncpg.Connection, tenant: TenantId
) -> None:
    code = {"code": "SAVE10", "code_normalised": "save10"}
    first = await insert_offer(owner, tenant, **code)
    assert await engine.outcome(command(tenant, "save10")) == "GRANTED"
    await edit(owner, first, "code = null, code_normalised = null")
    second = await insert_offer(owner, tenant, **code)
    assert await engine.outcome(command(tenant, "save10")) == "GRANTED"
    assert (await counters(owner, second))["used"] == 1


@pytest.mark.parametrize("minutes", [-10, 10])
async def test_a_clock_that_is_off_changes_nothing(
    engine: Engine, owner: asyncpg.Connection, tenant: TenantId, minutes: int
) -> None:
    engine.clock_offset = timedelta(minutes=minutes)
    now = datetime.now(UTC)
    minute = timedelta(minutes=1)
    running = await insert_offer(
        owner, tenant, starts_at=now - 5 * minute, ends_at=now + 5 * minute
    )
    early = await insert_offer(owner, tenant, starts_at=now + 5 * minute)
    ended = await insert_offer(owner, tenant, ends_at=now - 5 * minute)
    assert await engine.outcome(command(tenant, running)) == "GRANTED"
    assert await engine.outcome(command(tenant, early)) == "OFFER_NOT_STARTED"
    assert await engine.outcome(command(tenant, ended)) == "OFFER_ENDED"


async def test_a_lying_redis_refuses_nobody_and_is_corrected(
    engine: Engine, owner: asyncpg.Connection, tenant: TenantId
) -> None:
    offer = await insert_offer(owner, tenant, total_limit=2, per_customer_limit=1)
    customer = command(tenant, offer).customer_id
    lie = Counters(offer, 1, 0, 99, 2, 1, {customer: 9})
    engine.admission.record(tenant, [lie])
    await engine.admission.told()
    assert await engine.outcome(command(tenant, offer, customer_id=customer)) == "GRANTED"
    assert await engine.outcome(command(tenant, offer)) == "GRANTED"
    assert await engine.outcome(command(tenant, offer)) == "TOTAL_LIMIT_REACHED"


async def test_a_raised_limit_grants_again(
    engine: Engine, owner: asyncpg.Connection, tenant: TenantId
) -> None:
    offer = await insert_offer(owner, tenant, total_limit=1)
    words = [await engine.outcome(command(tenant, offer)) for _ in range(3)]
    assert words == ["GRANTED", "TOTAL_LIMIT_REACHED", "TOTAL_LIMIT_REACHED"]
    await edit(owner, offer, "total_limit = 2")
    assert await engine.outcome(command(tenant, offer)) == "GRANTED"


async def test_a_revoke_gives_capacity_back_at_once(
    engine: Engine, owner: asyncpg.Connection, tenant: TenantId
) -> None:
    offer = await insert_offer(owner, tenant, total_limit=1)
    first = command(tenant, offer)
    assert await engine.outcome(first) == "GRANTED"
    assert await engine.outcome(command(tenant, offer)) == "TOTAL_LIMIT_REACHED"
    revocation = await engine.revoke(tenant, first.request_id, "payment failed")
    assert revocation.outcome is RevokeOutcome.REVOKED
    assert await engine.outcome(command(tenant, offer)) == "GRANTED"


async def test_the_earlier_reason_is_heard(
    engine: Engine, owner: asyncpg.Connection, tenant: TenantId
) -> None:
    offer = await insert_offer(owner, tenant, total_limit=1, status="active")
    first = command(tenant, offer, order_ref="A-1")
    assert await engine.outcome(first) == "GRANTED"
    wrong = command(tenant, offer, currency="USD", order_ref="A-1", expected_paid_minor=1)
    assert await engine.outcome(wrong) == "CURRENCY_NOT_COVERED"
    changed = command(tenant, offer, order_ref="A-1", expected_paid_minor=1)
    assert await engine.outcome(changed) == "PRICE_CHANGED"
    again = command(tenant, offer, order_ref="A-1")
    assert await engine.outcome(again) == "ORDER_ALREADY_USED"


async def test_a_poison_item_fails_alone(
    engine: Engine, owner: asyncpg.Connection, tenant: TenantId
) -> None:
    offer = await insert_offer(owner, tenant)
    commands = [command(tenant, offer, order_ref=f"A-{n}") for n in range(40)]
    # Postgres takes no NUL in a text; transport refuses it long before this.
    commands[17] = command(tenant, offer, order_ref="A\x00")
    answers = await asyncio.gather(
        *(engine.redeem(each, SECONDS) for each in commands), return_exceptions=True
    )
    failed = [n for n, answer in enumerate(answers) if isinstance(answer, BaseException)]
    assert failed == [17]
    assert (await counters(owner, offer))["used"] == 39


async def test_what_was_frozen_for_longer_than_a_batch_may_take_is_not_counted(
    engine: Engine, owner: asyncpg.Connection, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer = await insert_offer(owner, tenant, total_limit=1)
    late = command(tenant, offer)
    monkeypatch.setattr(redeem, "BATCH_SECONDS_MAX", 0.0)
    with pytest.raises(DependencyUnavailable):
        await engine.redeem(late, SECONDS)
    assert (await counters(owner, offer))["used"] == 0
    monkeypatch.undo()
    assert await engine.outcome(late) == "GRANTED"


async def test_a_cancelled_call_counts_wholly_or_not_at_all(
    engine: Engine, owner: asyncpg.Connection, tenant: TenantId
) -> None:
    offer = await insert_offer(owner, tenant)
    commands = [command(tenant, offer) for _ in range(60)]
    tasks = [asyncio.create_task(engine.redeem(each, SECONDS)) for each in commands]
    for turns, task in enumerate(tasks):
        task.cancel()
        for _ in range(turns % 5):
            await asyncio.sleep(0)
    await asyncio.gather(*tasks, return_exceptions=True)
    words = await asyncio.gather(*(engine.outcome(each) for each in commands))
    assert set(words) <= {"GRANTED", "REPLAYED"}
    row = await counters(owner, offer)
    assert row["used"] == row["live_rows"] == 60
