"""judge_customers_v1: who is blocked, who is in the audience, and each of the eight rules."""

from datetime import UTC, datetime, time
from uuid import UUID

import asyncpg
import msgspec
import pytest

from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.facts import PostgresFacts
from guerdon.domain.facts import (
    ActivityDay,
    CustomerFacts,
    Transaction,
    TransactionKind,
    TransactionStatus,
)
from guerdon.domain.identifiers import CustomerId, TenantId
from guerdon.domain.refusals import RefusalReason
from guerdon.domain.rules import RULE_TYPES
from tests.support.facts import (
    TODAY,
    insert_rules,
    judge,
    judge_all,
    moment,
    transaction,
)
from tests.support.ledger import insert_offer, insert_tenant, new_id

MTN = UUID("64d1f75e-00e4-4d9c-af27-fef057501700")
AIRTEL = UUID("64d1f75e-00e4-4d9c-af27-fef057501701")
FIRST_MINUTE, LAST_MINUTE = time(0, 0), time(23, 59)


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a customer; `transactions` are fields that differ from a top-up of today."""

    created_at: datetime | None = None
    transactions: tuple[dict[str, object], ...] = ()
    active_days_ago: tuple[int, ...] = ()


class Case(msgspec.Struct, frozen=True):
    """One rule, two histories on either side of it, and what the explanation then says."""

    rule_type: str
    params: dict[str, object]
    passing: History
    failing: History
    unit: str
    required: int
    actual_passing: int
    actual_failing: int


def topups(*days_ago: int, **fields: object) -> tuple[dict[str, object], ...]:
    return tuple({"occurred_at": moment(days), **fields} for days in days_ago)


CASES = [
    Case(
        "new_user", {"account_age_days": 7},
        History(created_at=moment(7, FIRST_MINUTE)), History(created_at=moment(8, LAST_MINUTE)),
        "days", 7, 7, 8,
    ),
    Case(
        "min_topups", {"count": 2},
        History(transactions=topups(0, 4000)),
        History(transactions=topups(0)
                + topups(1, kind=TransactionKind.PURCHASE)
                + topups(2, status=TransactionStatus.FAILED)
                + topups(3, status=TransactionStatus.PENDING)
                + topups(4, status=TransactionStatus.REVERSED)),
        "topups", 2, 2, 1,
    ),
    Case(
        "min_topups", {"count": 2, "window_days": 7},
        History(transactions=({"occurred_at": moment(6, FIRST_MINUTE)}, {})),
        History(transactions=({"occurred_at": moment(7, LAST_MINUTE)}, {})),
        "topups", 2, 2, 1,
    ),
    Case(
        "min_transactions", {"count": 3},
        History(transactions=topups(0, 1) + topups(900, kind=TransactionKind.OTHER)),
        History(transactions=topups(0, 1) + topups(2, status=TransactionStatus.PENDING)),
        "transactions", 3, 3, 2,
    ),
    Case(
        "min_spent", {"amount_minor": 5000},
        History(transactions=topups(900, amount_minor=4999) + topups(0, amount_minor=1)),
        History(transactions=topups(0, amount_minor=4999) + topups(0, currency="USD")),
        "minor_units", 5000, 5000, 4999,
    ),
    Case(
        "min_spent", {"amount_minor": 5000, "window_days": 30},
        History(transactions=({"occurred_at": moment(29, FIRST_MINUTE), "amount_minor": 5000},)),
        History(transactions=({"occurred_at": moment(30, LAST_MINUTE), "amount_minor": 5000},)),
        "minor_units", 5000, 5000, 0,
    ),
    Case(
        "operator_topup_count", {"operator_id": str(MTN), "count": 1},
        History(transactions=topups(900, operator_id=MTN)),
        History(transactions=topups(0, operator_id=AIRTEL) + topups(0)),
        "topups", 1, 1, 0,
    ),
    Case(
        "operator_topup_count", {"operator_id": str(MTN).upper(), "count": 1, "window_days": 1},
        History(transactions=({"occurred_at": moment(0, FIRST_MINUTE), "operator_id": MTN},)),
        History(transactions=({"occurred_at": moment(1, LAST_MINUTE), "operator_id": MTN},)),
        "topups", 1, 1, 0,
    ),
    Case(
        "operator_spent", {"operator_id": str(MTN), "amount_minor": 1000},
        History(transactions=topups(900, operator_id=MTN, kind=TransactionKind.OTHER)),
        History(transactions=topups(0, operator_id=AIRTEL) + topups(0)
                + topups(0, operator_id=MTN, amount_minor=999)),
        "minor_units", 1000, 1000, 999,
    ),
    Case(
        "operator_spent", {"operator_id": str(MTN), "amount_minor": 1000, "window_days": 366},
        History(transactions=topups(365, operator_id=MTN)),
        History(transactions=topups(366, operator_id=MTN)),
        "minor_units", 1000, 1000, 0,
    ),
    Case(
        "last_active_within", {"days": 3},
        History(active_days_ago=(2, 100)), History(active_days_ago=(3, 100)),
        "days", 3, 3, 4,
    ),
    Case(
        "last_active_within", {"days": 1},
        History(transactions=({"occurred_at": moment(0, FIRST_MINUTE)},)),
        History(transactions=({"occurred_at": moment(1, LAST_MINUTE)},
                              {"status": TransactionStatus.PENDING})),
        "days", 1, 1, 2,
    ),
    Case(
        "active_days", {"min_active_days": 3, "days": 7},
        History(active_days_ago=(0, 6), transactions=topups(3, 3, 6)),
        History(active_days_ago=(0, 7), transactions=topups(3, 3, 7)
                + topups(1, status=TransactionStatus.FAILED)),
        "days", 3, 3, 2,
    ),
]  # fmt: skip
IDS = [f"{case.rule_type}-{'-'.join(case.params)}" for case in CASES]


@pytest.fixture
def store(shared_database: Database) -> PostgresFacts:
    return PostgresFacts(shared_database)


@pytest.fixture
async def tenant(shared_owner: asyncpg.Connection) -> TenantId:
    return await insert_tenant(shared_owner, time_zone="Africa/Lagos")


async def push_history(
    store: PostgresFacts, tenant: TenantId, customer: UUID, history: History
) -> None:
    transactions: list[Transaction] = []
    for fields in history.transactions:
        final = transaction(customer, **fields)
        if final.status is TransactionStatus.REVERSED:
            earlier = msgspec.structs.replace(final, status=TransactionStatus.SUCCEEDED)
            await store.record_transactions(tenant, [earlier])
        transactions.append(final)
    if transactions:
        await store.record_transactions(tenant, transactions)
    if history.active_days_ago:
        days = [moment(days_ago).date() for days_ago in history.active_days_ago]
        await store.record_activities(
            tenant, [ActivityDay(CustomerId(customer), day) for day in days]
        )


async def push_customer(
    store: PostgresFacts, tenant: TenantId, history: History, customer: UUID | None = None
) -> UUID:
    """A known customer with this history."""
    customer = customer or new_id()
    facts = CustomerFacts(customer_id=CustomerId(customer), created_at=history.created_at)
    await store.upsert_customers(tenant, [facts])
    await push_history(store, tenant, customer, history)
    return customer


def test_every_rule_type_of_the_catalogue_has_its_cases() -> None:
    assert {case.rule_type for case in CASES} == set(RULE_TYPES)


@pytest.mark.parametrize("case", CASES, ids=IDS)
async def test_a_rule_passes_up_to_its_boundary_and_fails_beyond_it(
    case: Case,
    shared_database: Database,
    store: PostgresFacts,
    shared_owner: asyncpg.Connection,
    tenant: TenantId,
) -> None:
    offer = await insert_offer(shared_owner, tenant)
    await insert_rules(shared_owner, tenant, offer, (case.rule_type, case.params))
    passing = await push_customer(store, tenant, case.passing)
    failing = await push_customer(store, tenant, case.failing)
    yes, no = await judge_all(shared_database, tenant, [(offer, passing), (offer, failing)])
    assert (yes.verdict, no.verdict) == (0, RefusalReason.NOT_ELIGIBLE)
    for judgement, passed, actual in (
        (yes, True, case.actual_passing),
        (no, False, case.actual_failing),
    ):
        (rule,) = judgement.rules
        assert (rule.rule_key, rule.rule_type) == ("rule_0", case.rule_type)
        assert (rule.passed, rule.unit, rule.required, rule.actual, rule.problem) == (
            passed, case.unit, case.required, actual, None,
        )  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=IDS)
async def test_a_customer_who_is_not_known_fails_every_rule_whatever_the_history(
    case: Case,
    shared_database: Database,
    store: PostgresFacts,
    shared_owner: asyncpg.Connection,
    tenant: TenantId,
) -> None:
    offer = await insert_offer(shared_owner, tenant)
    await insert_rules(shared_owner, tenant, offer, (case.rule_type, case.params))
    stranger = new_id()
    await push_history(store, tenant, stranger, case.passing)
    judgement = await judge(shared_database, tenant, offer, stranger)
    assert judgement.verdict == RefusalReason.NOT_ELIGIBLE
    (rule,) = judgement.rules
    assert not rule.passed
    assert rule.actual is None
    assert rule.problem == "the customer is not known"


@pytest.mark.parametrize("case", CASES, ids=IDS)
async def test_facts_of_another_tenant_do_not_count(
    case: Case,
    shared_database: Database,
    store: PostgresFacts,
    shared_owner: asyncpg.Connection,
    tenant: TenantId,
) -> None:
    other = await insert_tenant(shared_owner, time_zone="Africa/Lagos")
    offer = await insert_offer(shared_owner, tenant)
    await insert_rules(shared_owner, tenant, offer, (case.rule_type, case.params))
    customer = await push_customer(store, other, case.passing)
    assert (
        await judge(shared_database, tenant, offer, customer)
    ).verdict == RefusalReason.NOT_ELIGIBLE
    await push_customer(store, tenant, History(), customer)
    assert (
        await judge(shared_database, tenant, offer, customer)
    ).verdict == RefusalReason.NOT_ELIGIBLE


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (("new_user", {"account_age_days": 7}), "the customer's creation time is not known"),
        (
            ("last_active_within", {"days": 7}),
            "no activity of the customer is known in the last 366 days",
        ),
    ],
)
async def test_a_missing_fact_fails_and_the_explanation_names_it(
    rule: tuple[str, dict[str, object]], problem: str,
    shared_database: Database, store: PostgresFacts, shared_owner: asyncpg.Connection,
    tenant: TenantId,
) -> None:  # fmt: skip
    offer = await insert_offer(shared_owner, tenant)
    await insert_rules(shared_owner, tenant, offer, rule)
    customer = await push_customer(store, tenant, History())
    judgement = await judge(shared_database, tenant, offer, customer)
    assert judgement.verdict == RefusalReason.NOT_ELIGIBLE
    assert [(rule.passed, rule.actual, rule.problem) for rule in judgement.rules] == [
        (False, None, problem)
    ]


async def test_a_day_is_a_day_of_the_tenants_zone(
    shared_database: Database, store: PostgresFacts, shared_owner: asyncpg.Connection
) -> None:
    verdicts = {}
    for zone in ("Pacific/Auckland", "America/Los_Angeles"):
        tenant = await insert_tenant(shared_owner, time_zone=zone)
        offer = await insert_offer(shared_owner, tenant)
        await insert_rules(
            shared_owner, tenant, offer, ("min_topups", {"count": 1, "window_days": 1})
        )
        # 22:00 UTC on the 20th: the 21st in Auckland, where it is the 22nd by now; the 20th in
        # Los Angeles, where it is the 21st; the same day in neither. 12 hours later it is.
        early, late = datetime(2026, 11, 20, 22, tzinfo=UTC), datetime(2026, 11, 21, 11, tzinfo=UTC)
        for moment_ in (early, late):
            history = History(transactions=({"occurred_at": moment_},))
            customer = await push_customer(store, tenant, history)
            verdicts[zone, moment_.day] = (
                await judge(shared_database, tenant, offer, customer)
            ).verdict
    assert verdicts == {
        ("Pacific/Auckland", 20): RefusalReason.NOT_ELIGIBLE,
        ("Pacific/Auckland", 21): 0,
        ("America/Los_Angeles", 20): RefusalReason.NOT_ELIGIBLE,
        ("America/Los_Angeles", 21): 0,
    }


@pytest.mark.parametrize(
    ("logic", "passing_rules", "verdict"),
    [
        ("all", 0, 0), ("any", 0, 0),
        ("all", 1, RefusalReason.NOT_ELIGIBLE), ("any", 1, 0), ("all", 2, 0), ("any", 2, 0),
        ("all", -1, RefusalReason.NOT_ELIGIBLE), ("any", -1, RefusalReason.NOT_ELIGIBLE),
    ],
)  # fmt: skip
async def test_rules_combine_by_the_offers_logic(
    logic: str, passing_rules: int, verdict: int,
    shared_database: Database, store: PostgresFacts, shared_owner: asyncpg.Connection,
    tenant: TenantId,
) -> None:  # fmt: skip
    """0: no rules; 1: one of two passes; 2: both; -1: none of two."""
    offer = await insert_offer(shared_owner, tenant, eligibility_logic=logic)
    passed = ("min_transactions", {"count": 1})
    failed = ("min_transactions", {"count": 2})
    rules = {0: [], 1: [failed, passed], 2: [passed, passed], -1: [failed, failed]}[passing_rules]
    await insert_rules(shared_owner, tenant, offer, *rules)
    customer = await push_customer(store, tenant, History(transactions=topups(0)))
    judgement = await judge(shared_database, tenant, offer, customer)
    assert judgement.verdict == verdict
    assert [rule.passed for rule in judgement.rules] == [rule is passed for rule in rules]


async def test_the_last_time_of_activity_of_a_customer_is_an_activity(
    shared_database: Database,
    store: PostgresFacts,
    shared_owner: asyncpg.Connection,
    tenant: TenantId,
) -> None:
    offer = await insert_offer(shared_owner, tenant)
    await insert_rules(shared_owner, tenant, offer, ("last_active_within", {"days": 1}))
    customer = CustomerId(new_id())
    facts = CustomerFacts(customer_id=customer, last_active_at=moment(0, FIRST_MINUTE))
    await store.upsert_customers(tenant, [facts])
    judgement = await judge(shared_database, tenant, offer, customer)
    assert (judgement.verdict, judgement.rules[0].actual) == (0, 1)
    day = await shared_owner.fetchval(
        "select day from guerdon.customer_activity_daily where customer_id = $1", customer
    )
    assert day == TODAY
