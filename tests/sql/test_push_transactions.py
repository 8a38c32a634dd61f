"""record_transactions_v1 and record_activity_v1 through their adapter: the rollups stay exact."""

import asyncio
import random
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import asyncpg
import msgspec
import pytest

from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.facts import PostgresFacts
from guerdon.domain.errors import FieldsInvalid, TransactionConflict
from guerdon.domain.facts import (
    ActivityDay,
    CustomerFacts,
    PushCounts,
    Transaction,
    TransactionKind,
    TransactionStatus,
)
from guerdon.domain.identifiers import CustomerId, TenantId
from tests.support.facts import TODAY, moment, rollup_errors, transaction, until_blocked
from tests.support.ledger import insert_tenant, new_id

PENDING = TransactionStatus.PENDING
SUCCEEDED = TransactionStatus.SUCCEEDED
FAILED = TransactionStatus.FAILED
REVERSED = TransactionStatus.REVERSED
ALL_OPERATORS = UUID(int=0)


@pytest.fixture
def store(shared_database: Database) -> PostgresFacts:
    return PostgresFacts(shared_database)


@pytest.fixture
async def tenant(shared_owner: asyncpg.Connection) -> TenantId:
    return await insert_tenant(shared_owner, time_zone="Africa/Lagos")


async def stats(
    owner: asyncpg.Connection, customer: UUID, operator: UUID = ALL_OPERATORS
) -> tuple[int, int, int]:
    """(topups, transactions, spent_minor), ever; zeros without a row."""
    row = await owner.fetchrow(
        "select topups, transactions, spent_minor from guerdon.customer_stats "
        "where customer_id = $1 and operator_id = $2",
        customer, operator,
    )  # fmt: skip
    return tuple(row) if row else (0, 0, 0)


async def status_of(owner: asyncpg.Connection, pushed: Transaction) -> str | None:
    status: str | None = await owner.fetchval(
        "select status from guerdon.transactions where transaction_id = $1", pushed.transaction_id
    )
    return status


def at(status: TransactionStatus, pushed: Transaction) -> Transaction:
    return msgspec.structs.replace(pushed, status=status)


async def test_a_transaction_counts_once_however_often_it_is_pushed(
    store: PostgresFacts, shared_owner: asyncpg.Connection, tenant: TenantId
) -> None:
    customer, operator = new_id(), new_id()
    pushed = transaction(customer, operator_id=operator, amount_minor=700)
    assert await store.record_transactions(tenant, [pushed, pushed]) == PushCounts(1, 0, 0)
    assert await store.record_transactions(tenant, [pushed]) == PushCounts(0, 0, 1)
    assert await stats(shared_owner, customer) == (1, 1, 700)
    assert await stats(shared_owner, customer, operator) == (1, 1, 700)


@pytest.mark.parametrize(
    ("pushes", "final", "counted"),
    [
        ((PENDING, SUCCEEDED), SUCCEEDED, 1),
        ((PENDING, FAILED), FAILED, 0),
        ((PENDING, SUCCEEDED, REVERSED), REVERSED, 0),
        ((SUCCEEDED, PENDING), SUCCEEDED, 1),
        ((SUCCEEDED, REVERSED, SUCCEEDED, PENDING), REVERSED, 0),
        ((REVERSED, SUCCEEDED), REVERSED, 0),
        ((PENDING, REVERSED), REVERSED, 0),
        ((FAILED, PENDING), FAILED, 0),
        ((SUCCEEDED, SUCCEEDED), SUCCEEDED, 1),
    ],
)
@pytest.mark.parametrize("together", [False, True])
async def test_a_status_only_moves_forward_in_one_push_or_several(
    pushes: Sequence[TransactionStatus], final: TransactionStatus, counted: int, together: bool,
    store: PostgresFacts, shared_owner: asyncpg.Connection, tenant: TenantId,
) -> None:  # fmt: skip
    customer = new_id()
    first = transaction(customer, amount_minor=300)
    steps = [at(status, first) for status in pushes]
    for batch in [steps] if together else [[step] for step in steps]:
        await store.record_transactions(tenant, batch)
    assert await status_of(shared_owner, first) == final
    assert await stats(shared_owner, customer) == (counted, counted, 300 * counted)
    assert await rollup_errors(shared_owner) == 0


@pytest.mark.parametrize(
    ("known", "pushed"),
    [(SUCCEEDED, FAILED), (FAILED, SUCCEEDED), (FAILED, REVERSED), (REVERSED, FAILED)],
)
@pytest.mark.parametrize("together", [False, True])
async def test_a_status_that_cannot_follow_is_a_conflict(
    known: TransactionStatus, pushed: TransactionStatus, together: bool,
    store: PostgresFacts, shared_owner: asyncpg.Connection, tenant: TenantId,
) -> None:  # fmt: skip
    first = transaction(new_id(), status=known)
    second = at(pushed, first)
    if not together:
        await store.record_transactions(tenant, [first])
    with pytest.raises(TransactionConflict) as conflict:
        await store.record_transactions(tenant, [first, second] if together else [second])
    assert conflict.value.transaction_ids == [first.transaction_id]
    assert await status_of(shared_owner, first) == (None if together else known)


@pytest.mark.parametrize(
    "change",
    [
        {"customer_id": new_id()},
        {"kind": TransactionKind.OTHER},
        {"operator_id": new_id()},
        {"operator_id": None},
        {"product_id": None},
        {"amount_minor": 1001},
        {"currency": "USD"},
        {"occurred_at": moment(0) + timedelta(microseconds=1)},
    ],
    ids=lambda change: "-".join(change) + (" left out" if None in change.values() else ""),
)
@pytest.mark.parametrize("together", [False, True])
async def test_other_content_is_a_conflict_that_writes_nothing_and_names_the_ids(
    change: dict[str, object], together: bool,
    store: PostgresFacts, shared_owner: asyncpg.Connection, tenant: TenantId,
) -> None:  # fmt: skip
    known = transaction(new_id(), operator_id=new_id(), product_id=new_id())
    differing = msgspec.structs.replace(known, **change)
    innocent = transaction(new_id())
    if not together:
        await store.record_transactions(tenant, [known])
    with pytest.raises(TransactionConflict) as conflict:
        await store.record_transactions(
            tenant, [innocent, differing, *([known] if together else [])]
        )
    assert conflict.value.transaction_ids == [known.transaction_id]
    assert await status_of(shared_owner, innocent) is None
    for customer in {innocent.customer_id, differing.customer_id} - {known.customer_id}:
        rows = await shared_owner.fetchval(
            "select count(*) from guerdon.customer_stats where customer_id = $1", customer
        )
        assert rows == 0
    assert await rollup_errors(shared_owner) == 0


async def test_a_reversal_takes_its_counts_back_from_its_own_day(
    store: PostgresFacts, shared_owner: asyncpg.Connection, tenant: TenantId
) -> None:
    customer, operator = new_id(), new_id()
    old = transaction(customer, operator_id=operator, occurred_at=moment(5), amount_minor=10)
    new = transaction(customer, operator_id=operator, occurred_at=moment(1), amount_minor=20)
    await store.record_transactions(tenant, [old, new])
    counts = await store.record_transactions(
        tenant, [at(REVERSED, old), transaction(customer, occurred_at=moment(5), amount_minor=7)]
    )
    assert counts == PushCounts(1, 1, 0)
    rows = await shared_owner.fetch(
        "select operator_id, day, topups, transactions, spent_minor "
        "from guerdon.customer_activity_daily where customer_id = $1",
        customer,
    )
    day_old, day_new = TODAY - timedelta(days=5), TODAY - timedelta(days=1)
    assert {tuple(row) for row in rows} == {
        (ALL_OPERATORS, day_old, 1, 1, 7), (operator, day_old, 0, 0, 0),
        (ALL_OPERATORS, day_new, 1, 1, 20), (operator, day_new, 1, 1, 20),
    }  # fmt: skip
    assert await stats(shared_owner, customer) == (2, 2, 27)
    assert await stats(shared_owner, customer, operator) == (1, 1, 20)


async def test_only_the_tenants_currency_is_summed(
    store: PostgresFacts, shared_owner: asyncpg.Connection, tenant: TenantId
) -> None:
    customer = new_id()
    foreign = transaction(customer, currency="USD", amount_minor=999)
    await store.record_transactions(tenant, [foreign, transaction(customer, amount_minor=1)])
    assert await stats(shared_owner, customer) == (2, 2, 1)
    await store.record_transactions(tenant, [at(REVERSED, foreign)])
    assert await stats(shared_owner, customer) == (1, 1, 1)


async def test_the_operator_of_all_zeros_is_no_operator(
    store: PostgresFacts, shared_owner: asyncpg.Connection, tenant: TenantId
) -> None:
    customer = new_id()
    await store.record_transactions(tenant, [transaction(customer, operator_id=ALL_OPERATORS)])
    assert await stats(shared_owner, customer) == (1, 1, 1000)


async def test_a_sum_that_cannot_be_kept_is_refused_whole(
    store: PostgresFacts, shared_owner: asyncpg.Connection, tenant: TenantId
) -> None:
    customer = new_id()
    largest = [transaction(customer, amount_minor=2**62) for _ in range(2)]
    await store.record_transactions(tenant, largest[:1])
    with pytest.raises(FieldsInvalid):
        await store.record_transactions(tenant, [transaction(customer), largest[1]])
    assert await stats(shared_owner, customer) == (1, 1, 2**62)
    assert await rollup_errors(shared_owner) == 0


async def test_one_id_in_two_tenants_is_two_transactions(
    store: PostgresFacts, shared_owner: asyncpg.Connection, tenant: TenantId
) -> None:
    other = await insert_tenant(shared_owner)
    pushed = transaction(new_id())
    assert await store.record_transactions(tenant, [pushed]) == PushCounts(1, 0, 0)
    assert await store.record_transactions(other, [at(FAILED, pushed)]) == PushCounts(1, 0, 0)


async def test_a_day_of_activity_is_told_once(
    store: PostgresFacts, shared_owner: asyncpg.Connection, tenant: TenantId
) -> None:
    customer = CustomerId(new_id())
    await store.record_transactions(tenant, [transaction(customer)])
    days = [ActivityDay(customer, TODAY), ActivityDay(customer, TODAY - timedelta(days=1))]
    assert await store.record_activities(tenant, [*days, days[0]]) == PushCounts(2, 0, 0)
    assert await store.record_activities(tenant, days) == PushCounts(0, 0, 2)
    assert await stats(shared_owner, customer) == (1, 1, 1000)
    assert await rollup_errors(shared_owner) == 0


async def test_pushes_that_overlap_on_several_connections_count_everything_once(
    shared_url: str, shared_owner: asyncpg.Connection, tenant: TenantId
) -> None:
    """Retries, reversals and activity of the same few customers, all at once and in any order."""
    chance = random.Random(20261121)
    customers, operators = [new_id() for _ in range(12)], [new_id() for _ in range(3)]
    pushed = [
        transaction(
            chance.choice(customers), operator_id=chance.choice([None, *operators]),
            kind=chance.choice(list(TransactionKind)), currency=chance.choice(["NGN", "USD"]),
            amount_minor=chance.randrange(1000), occurred_at=moment(chance.randrange(6)),
        )
        for _ in range(240)
    ]  # fmt: skip
    paths = {
        each.transaction_id: chance.choice(
            [[PENDING], [SUCCEEDED], [PENDING, SUCCEEDED], [PENDING, FAILED], [SUCCEEDED, REVERSED]]
        )
        for each in pushed
    }
    steps = [at(status, each) for each in pushed for status in paths[each.transaction_id]]
    deadlocks = "select deadlocks from pg_stat_database where datname = current_database()"
    database = await Database.open(shared_url, connections_max=8)
    store = PostgresFacts(database)

    async def push_all(seed: int) -> None:
        order = random.Random(seed)
        mine = order.sample(steps, len(steps))
        for start in range(0, len(mine), 40):
            await store.record_transactions(tenant, mine[start : start + 40])
            active = order.sample(customers, 6)
            await store.record_activities(
                tenant, [ActivityDay(CustomerId(each), TODAY) for each in active]
            )
            await store.upsert_customers(
                tenant,
                [
                    CustomerFacts(customer_id=CustomerId(each), last_active_at=moment(seed % 6))
                    for each in active
                ],
            )

    try:
        await asyncio.gather(*(push_all(seed) for seed in range(8)))
    finally:
        await database.close()
    for each in pushed:
        assert await status_of(shared_owner, each) == paths[each.transaction_id][-1]
    assert await rollup_errors(shared_owner) == 0
    assert await shared_owner.fetchval(deadlocks) == 0
    counted = sum(paths[each.transaction_id][-1] is SUCCEEDED for each in pushed)
    total = await shared_owner.fetchval(
        "select sum(transactions) from guerdon.customer_stats "
        "where tenant_id = $1 and operator_id = $2",
        tenant, ALL_OPERATORS,
    )  # fmt: skip
    assert total == counted > 50


async def test_a_push_that_races_another_with_other_content_waits_and_then_conflicts(
    shared_url: str, shared_database: Database, shared_owner: asyncpg.Connection, tenant: TenantId
) -> None:
    """They are of different customers, so only the key of the transaction brings them together."""
    first = transaction(new_id())
    second = msgspec.structs.replace(first, customer_id=CustomerId(new_id()))
    innocent = transaction(new_id())
    store = PostgresFacts(shared_database)
    async with shared_database.tenant_transaction(tenant) as connection:
        await connection.fetchrow(
            "select * from guerdon.record_transactions_v1"
            "($1, $2, $3, $4, $5, array[null]::uuid[], array[null]::uuid[], $6, $7, $8)",
            tenant, [first.transaction_id], [first.customer_id], [first.kind], [first.status],
            [first.amount_minor], [first.currency], [first.occurred_at],
        )  # fmt: skip
        racing = asyncio.create_task(store.record_transactions(tenant, [second, innocent]))
        await until_blocked(shared_owner, racing)
    with pytest.raises(TransactionConflict) as conflict:
        await racing
    assert conflict.value.transaction_ids == [first.transaction_id]
    assert await stats(shared_owner, first.customer_id) == (1, 1, 1000)
    assert await stats(shared_owner, second.customer_id) == (0, 0, 0)
    assert await status_of(shared_owner, innocent) is None
    assert await rollup_errors(shared_owner) == 0
