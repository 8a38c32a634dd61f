"""Facts pushed through their adapter, and what the rollups and the judge make of them."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import msgspec

from guerdon.adapters.postgres.connection import Database
from guerdon.domain.facts import (
    ProductFacts,
    Transaction,
    TransactionKind,
    TransactionStatus,
)
from guerdon.domain.identifiers import CustomerId, OfferId, TenantId
from guerdon.domain.products import ProductKind
from guerdon.ports import RuleResult
from tests.support.ledger import new_id

ZONE = ZoneInfo("Africa/Lagos")
NOW = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)
"""Half past midnight in Lagos: there it is the next day already."""
TODAY = date(2026, 11, 22)


class Judgement(msgspec.Struct, frozen=True):
    """What the judge says of one pair: a refusal's number or 0, and why."""

    verdict: int
    rules: tuple[RuleResult, ...]


def moment(days_ago: int, at: time = time(12)) -> datetime:
    """A time of the day that was so many days ago in Lagos."""
    return datetime.combine(TODAY - timedelta(days=days_ago), at, ZONE)


def transaction(customer: UUID, **fields: Any) -> Transaction:
    """A succeeded top-up of 10.00 NGN today at noon, with no operator, unless `fields` differ."""
    given: dict[str, Any] = {
        "transaction_id": str(new_id()),
        "customer_id": CustomerId(customer),
        "kind": TransactionKind.TOPUP,
        "status": TransactionStatus.SUCCEEDED,
        "amount_minor": 1000,
        "currency": "NGN",
        "occurred_at": moment(0),
        **fields,
    }
    return Transaction(**given)


def product(product_id: UUID | None = None, **fields: Any) -> ProductFacts:
    """A retail product at 24.95."""
    given = {"product_id": product_id or new_id(), "kind": ProductKind.RETAIL,
             "list_price_minor": 2495, **fields}  # fmt: skip
    return ProductFacts(**given)


async def insert_rules(
    owner: asyncpg.Connection, tenant: TenantId, offer: OfferId, *rules: tuple[str, Any]
) -> None:
    """Rules as they are kept, straight into the table: (type, params), in this order."""
    for number, (rule_type, params) in enumerate(rules):
        await owner.execute(
            "insert into guerdon.offer_rules values ($1, $2, $3, $4, $5, $6)",
            tenant, offer, number, f"rule_{number}", rule_type,
            msgspec.json.encode(params).decode(),
        )  # fmt: skip


async def judge_all(
    database: Database,
    tenant: TenantId,
    pairs: Sequence[tuple[UUID | None, UUID | None]],
    *,
    now: datetime = NOW,
    explain: bool = True,
) -> list[Judgement]:
    """judge_customers_v1 on (offer, customer) pairs, as the application role."""
    row = await database.call(
        "select * from guerdon.judge_customers_v1($1, $2, $3, $4, $5)",
        tenant, [offer for offer, _ in pairs], [customer for _, customer in pairs], now, explain,
    )  # fmt: skip
    explanations = row["p_explanations"] or [[]] * len(pairs)
    assert len(row["p_verdicts"]) == len(pairs) == len(explanations)
    return [
        Judgement(verdict, msgspec.convert(tuple(rules), tuple[RuleResult, ...]))
        for verdict, rules in zip(row["p_verdicts"], explanations, strict=True)
    ]


async def judge(
    database: Database, tenant: TenantId, offer: UUID | None, customer: UUID | None
) -> Judgement:
    """The judge on one pair, explained."""
    return (await judge_all(database, tenant, [(offer, customer)]))[0]


_RECOUNT = """
with counted as (
  select t.tenant_id, t.customer_id, o.operator_id, {day}
    count(*) filter (where t.kind = 'topup') as topups, count(*) as transactions,
    coalesce(sum(t.amount_minor) filter (where t.currency = n.currency), 0) as spent_minor
  from guerdon.transactions t
  join guerdon.tenants n using (tenant_id)
  cross join lateral (values ('00000000-0000-0000-0000-000000000000'::uuid), (t.operator_id))
    as o (operator_id)
  where t.status = 'succeeded' and o.operator_id is not null
  group by t.tenant_id, t.customer_id, o.operator_id {and_day}
), kept as (
  select tenant_id, customer_id, operator_id, {plain_day} topups, transactions, spent_minor
  from guerdon.{table} where (topups, transactions, spent_minor) <> (0, 0, 0)
)
select (select count(*) from (table counted except table kept) as missing)
  + (select count(*) from (table kept except table counted) as extra)
"""


async def rollup_errors(owner: asyncpg.Connection) -> int:
    """Rows of both rollups that differ from what the transactions add up to; 0 when exact."""
    stats = _RECOUNT.format(day="", and_day="", plain_day="", table="customer_stats")
    daily = _RECOUNT.format(
        day="t.day,", and_day=", t.day", plain_day="day,", table="customer_activity_daily"
    )
    errors: int = await owner.fetchval(stats) + await owner.fetchval(daily)
    return errors


async def until_blocked(owner: asyncpg.Connection, racing: "asyncio.Task[Any]") -> None:
    """Return once some statement in the database waits for a lock; `racing` must not end before."""
    waiting = (
        "select count(*) from pg_stat_activity "
        "where datname = current_database() and wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(5):
        while await owner.fetchval(waiting) == 0:
            assert not racing.done()
