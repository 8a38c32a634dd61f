"""redeem_v1 and revoke_v1 through their adapter, on a real Postgres."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.redemptions import PostgresRedemptions
from guerdon.domain.errors import Conflict
from guerdon.domain.identifiers import OfferId, TenantId
from guerdon.domain.redemption import Redemption, RedemptionItem, RevokeOutcome
from guerdon.domain.refusals import RefusalReason
from guerdon.ports import StaleVersion
from tests.support.control import wait_until_blocked
from tests.support.ledger import counters, insert_offer, insert_tenant, item, new_id


@pytest.fixture
def store(database: Database) -> PostgresRedemptions:
    return PostgresRedemptions(database)


@pytest.fixture
async def tenant(owner: asyncpg.Connection) -> TenantId:
    return await insert_tenant(owner)


async def outcomes(
    store: PostgresRedemptions, tenant: TenantId, items: list[RedemptionItem]
) -> list[str]:
    """What became of each item, as one word."""
    words = []
    for answer in (await store.redeem(tenant, items)).answers:
        match answer.outcome:
            case Redemption():
                words.append("REPLAYED" if answer.replayed else "GRANTED")
            case RefusalReason() as reason:
                words.append(reason.name)
            case StaleVersion():
                words.append("STALE")
    return words


async def test_a_total_limit_is_reached_exactly_within_one_batch(
    store: PostgresRedemptions, owner: asyncpg.Connection, tenant: TenantId
) -> None:
    offer = await insert_offer(owner, tenant, total_limit=3)
    items = [item(tenant, offer) for _ in range(5)]
    assert await outcomes(store, tenant, items) == (["GRANTED"] * 3 + ["TOTAL_LIMIT_REACHED"] * 2)
    row = await counters(owner, offer)
    assert (row["used"], row["live_rows"], row["last_sequence"], row["effects"]) == (3, 3, 3, 3)
    assert row["spent_minor"] == row["live_discount"] == 300


async def test_limits_hold_over_concurrent_batches_of_several_connections(
    store: PostgresRedemptions, owner: asyncpg.Connection, tenant: TenantId
) -> None:
    offers = [await insert_offer(owner, tenant, total_limit=20, per_customer_limit=2)
              for _ in range(3)]  # fmt: skip
    customers = [new_id() for _ in range(15)]
    items = [
        item(tenant, offer, customer_id=customer)
        for _ in range(4) for offer in offers for customer in customers
    ]  # fmt: skip
    batches = [items[start : start + 17] for start in range(0, len(items), 17)]
    await asyncio.gather(*(store.redeem(tenant, batch) for batch in batches))
    for offer in offers:
        row = await counters(owner, offer)
        assert row["used"] == row["live_rows"] == row["last_sequence"] == 20
    most = await owner.fetchval(
        "select max(n) from (select count(*) n from guerdon.redemptions"
        " group by offer_id, customer_id) uses"
    )
    assert most == 2


async def test_a_request_id_redeems_once_and_other_content_is_refused(
    store: PostgresRedemptions, owner: asyncpg.Connection, tenant: TenantId
) -> None:
    offer = await insert_offer(owner, tenant, total_limit=1)
    first = item(tenant, offer)
    other = item(tenant, offer, request_id=first.command.request_id, quantity=2)
    assert await outcomes(store, tenant, [first]) == ["GRANTED"]
    assert await outcomes(store, tenant, [first]) == ["REPLAYED"]
    assert await outcomes(store, tenant, [other]) == ["REQUEST_ID_REUSED"]
    assert (await counters(owner, offer))["used"] == 1


async def test_twins_over_two_connections_leave_one_row(
    store: PostgresRedemptions, owner: asyncpg.Connection, tenant: TenantId
) -> None:
    offer = await insert_offer(owner, tenant)
    twin = item(tenant, offer)
    answers = await asyncio.gather(*(outcomes(store, tenant, [twin]) for _ in range(8)))
    assert sorted(word for words in answers for word in words) == (["GRANTED"] + ["REPLAYED"] * 7)
    assert (await counters(owner, offer))["effects"] == 1


async def test_a_batch_that_collides_with_another_commit_is_not_half_done(
    store: PostgresRedemptions,
    owner: asyncpg.Connection,
    database_url: str,
    tenant: TenantId,
) -> None:
    offer = await insert_offer(owner, tenant)
    items = [item(tenant, offer), item(tenant, offer)]
    transaction = owner.transaction()
    await transaction.start()
    await owner.execute(
        "insert into guerdon.redemptions (tenant_id, request_id, revoked_at)"
        " values ($1, $2, now())",
        tenant,
        items[1].command.request_id,
    )
    redeeming = asyncio.create_task(store.redeem(tenant, items))
    await wait_until_blocked(database_url, 1)
    await transaction.commit()
    with pytest.raises(Conflict):
        await redeeming
    row = await counters(owner, offer)
    assert row["used"] == row["live_rows"] == 0
    assert await outcomes(store, tenant, items) == ["GRANTED", "REQUEST_REVOKED"]


async def test_an_order_takes_an_offer_once(
    store: PostgresRedemptions, owner: asyncpg.Connection, tenant: TenantId
) -> None:
    offer = await insert_offer(owner, tenant)
    first = item(tenant, offer, order_ref="A-1")
    items = [first, item(tenant, offer, order_ref="A-1"), item(tenant, offer, order_ref="A-2")]
    assert await outcomes(store, tenant, items) == ["GRANTED", "ORDER_ALREADY_USED", "GRANTED"]
    again = item(tenant, offer, order_ref="A-1")
    assert await outcomes(store, tenant, [again]) == ["ORDER_ALREADY_USED"]
    await store.revoke(tenant, first.command.request_id, "payment failed")
    assert await outcomes(store, tenant, [again]) == ["GRANTED"]


async def test_max_uses_of_a_target_count_its_lines(
    store: PostgresRedemptions, owner: asyncpg.Connection, tenant: TenantId
) -> None:
    offer = await insert_offer(owner, tenant)
    target, free = new_id(), new_id()
    items = [item(tenant, offer, target_id=target, target_max_uses=2) for _ in range(3)]
    items.append(item(tenant, offer, target_id=free))
    assert await outcomes(store, tenant, items) == [
        "GRANTED", "GRANTED", "PRODUCT_LIMIT_REACHED", "GRANTED",
    ]  # fmt: skip
    rows = await owner.fetch("select target_id, used from guerdon.offer_product_counters")
    assert {row["target_id"]: row["used"] for row in rows} == {target: 2, free: 1}
    await store.revoke(tenant, items[0].command.request_id, "")
    assert await outcomes(store, tenant, [items[2]]) == ["GRANTED"]


async def test_an_item_priced_by_another_version_is_stale(
    store: PostgresRedemptions, owner: asyncpg.Connection, tenant: TenantId
) -> None:
    offer = await insert_offer(owner, tenant)
    items = [item(tenant, offer, version=2), item(tenant, OfferId(new_id()))]
    assert await outcomes(store, tenant, items) == ["STALE", "STALE"]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"status": "paused"}, "OFFER_NOT_ACTIVE"),
        ({"starts_at": datetime.now(UTC) + timedelta(hours=1)}, "OFFER_NOT_STARTED"),
        ({"ends_at": datetime.now(UTC) - timedelta(hours=1)}, "OFFER_ENDED"),
        ({"status": "scheduled", "starts_at": datetime.now(UTC) - timedelta(days=1)}, "GRANTED"),
    ],
)
async def test_state_and_window_hold_by_the_database_clock(
    store: PostgresRedemptions,
    owner: asyncpg.Connection,
    tenant: TenantId,
    columns: dict[str, object],
    expected: str,
) -> None:
    offer = await insert_offer(owner, tenant, **columns)
    assert await outcomes(store, tenant, [item(tenant, offer)]) == [expected]


async def test_a_revoke_gives_the_use_back_once(
    store: PostgresRedemptions, owner: asyncpg.Connection, tenant: TenantId
) -> None:
    offer = await insert_offer(owner, tenant, total_limit=1, per_customer_limit=1)
    first = item(tenant, offer)
    assert await outcomes(store, tenant, [first]) == ["GRANTED"]
    answers = await asyncio.gather(
        *(store.revoke(tenant, first.command.request_id, "payment failed") for _ in range(6))
    )
    assert sorted(revocation.outcome for revocation, _ in answers) == (
        [RevokeOutcome.ALREADY_REVOKED] * 5 + [RevokeOutcome.REVOKED]
    )
    row = await counters(owner, offer)
    assert (row["used"], row["spent_minor"], row["last_sequence"], row["effects"]) == (0, 0, 2, 2)
    again = item(tenant, offer, customer_id=first.command.customer_id)
    assert await outcomes(store, tenant, [again]) == ["GRANTED"]
    assert await outcomes(store, tenant, [first]) == ["REPLAYED"]


async def test_revokes_that_queue_on_the_offer_give_back_once(
    store: PostgresRedemptions,
    owner: asyncpg.Connection,
    database_url: str,
    tenant: TenantId,
) -> None:
    offer = await insert_offer(owner, tenant)
    items = [item(tenant, offer) for _ in range(3)]
    await store.redeem(tenant, items)
    async with owner.transaction():
        await owner.execute(
            "select from guerdon.offer_counters where offer_id = $1 for no key update", offer
        )
        revoking = [
            asyncio.create_task(store.revoke(tenant, items[0].command.request_id, ""))
            for _ in range(3)
        ]
        await wait_until_blocked(database_url, 3)
        # Who waits for the offer holds nothing yet that a redeem could come to wait for.
        await owner.execute(
            "select from guerdon.redemptions where request_id = $1 for update nowait",
            items[0].command.request_id,
        )
    found = [revocation.outcome for revocation, _ in await asyncio.gather(*revoking)]
    assert sorted(found) == [RevokeOutcome.ALREADY_REVOKED] * 2 + [RevokeOutcome.REVOKED]
    row = await counters(owner, offer)
    assert (row["used"], row["live_rows"], row["effects"]) == (2, 2, row["last_sequence"])


async def test_a_revoke_that_arrives_first_leaves_a_tombstone(
    store: PostgresRedemptions, owner: asyncpg.Connection, tenant: TenantId
) -> None:
    offer = await insert_offer(owner, tenant)
    late = item(tenant, offer)
    for _ in range(2):
        revocation, after = await store.revoke(tenant, late.command.request_id, "gave up")
        assert revocation.outcome is RevokeOutcome.TOMBSTONED
        assert after is None
    assert await outcomes(store, tenant, [late]) == ["REQUEST_REVOKED"]
    assert await store.find(tenant, late.command.request_id) is None


async def test_revoke_races_redeem_without_losing_count(
    store: PostgresRedemptions, owner: asyncpg.Connection, tenant: TenantId
) -> None:
    offer = await insert_offer(owner, tenant)
    items = [item(tenant, offer) for _ in range(60)]
    await asyncio.gather(
        *(store.redeem(tenant, [each]) for each in items),
        *(store.revoke(tenant, each.command.request_id, "") for each in items),
        return_exceptions=True,
    )
    row = await counters(owner, offer)
    assert row["used"] == row["live_rows"]
    assert row["last_sequence"] == row["effects"]
    assert row["spent_minor"] == row["live_discount"]


async def test_another_tenant_sees_and_changes_nothing(
    store: PostgresRedemptions, owner: asyncpg.Connection, tenant: TenantId
) -> None:
    offer = await insert_offer(owner, tenant)
    mine = item(tenant, offer)
    await store.redeem(tenant, [mine])
    stranger = await insert_tenant(owner)
    assert await outcomes(store, stranger, [item(stranger, offer)]) == ["STALE"]
    assert await store.find(stranger, mine.command.request_id) is None
    revocation, _ = await store.revoke(stranger, mine.command.request_id, "")
    assert revocation.outcome is RevokeOutcome.TOMBSTONED
    assert (await counters(owner, offer))["used"] == 1


async def test_a_refusal_names_the_first_reason(
    store: PostgresRedemptions, owner: asyncpg.Connection, tenant: TenantId
) -> None:
    offer = await insert_offer(owner, tenant, total_limit=1, per_customer_limit=1)
    first = item(tenant, offer, order_ref="A-1")
    await store.redeem(tenant, [first])
    again = item(tenant, offer, customer_id=first.command.customer_id, order_ref="A-1")
    assert await outcomes(store, tenant, [again]) == [RefusalReason.ORDER_ALREADY_USED.name]


async def test_it_refuses_any_isolation_but_read_committed(
    database: Database, owner: asyncpg.Connection, tenant: TenantId
) -> None:
    async with database.connection() as connection:
        with pytest.raises(asyncpg.PostgresError, match="READ COMMITTED"):
            async with connection.transaction(isolation="repeatable_read"):
                await connection.execute("select guerdon.revoke_v1($1, $2, '')", tenant, new_id())
