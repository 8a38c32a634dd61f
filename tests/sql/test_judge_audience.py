"""judge_customers_v1 before any rule: who is blocked, and who is in the audience."""

import asyncpg
import pytest

from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.facts import PostgresFacts
from guerdon.domain.facts import CustomerFacts, CustomerStatus
from guerdon.domain.identifiers import CustomerId, TenantId
from guerdon.domain.refusals import RefusalReason
from tests.support.facts import NOW, insert_rules, judge, judge_all
from tests.support.ledger import insert_offer, insert_tenant, new_id


@pytest.fixture
def store(shared_database: Database) -> PostgresFacts:
    return PostgresFacts(shared_database)


@pytest.fixture
async def tenant(shared_owner: asyncpg.Connection) -> TenantId:
    return await insert_tenant(shared_owner)


async def test_the_audience_is_the_union_of_listed_customers_and_roles(
    shared_database: Database,
    store: PostgresFacts,
    shared_owner: asyncpg.Connection,
    tenant: TenantId,
) -> None:
    offer = await insert_offer(shared_owner, tenant, audience_mode="listed")
    listed, in_role, neither = new_id(), new_id(), new_id()
    await shared_owner.execute(
        "insert into guerdon.offer_allowed_customers values ($1, $2, $3)", tenant, offer, listed
    )
    await shared_owner.execute(
        "insert into guerdon.offer_allowed_roles values ($1, $2, 'vip')", tenant, offer
    )
    await store.upsert_customers(
        tenant,
        [
            CustomerFacts(customer_id=CustomerId(in_role), roles=("other", "vip")),
            CustomerFacts(customer_id=CustomerId(neither), roles=("other",)),
        ],
    )
    everyone = await insert_offer(shared_owner, tenant)
    pairs = [(offer, listed), (offer, in_role), (offer, neither), (offer, new_id()),
             (everyone, neither)]  # fmt: skip
    verdicts = [judgement.verdict for judgement in await judge_all(shared_database, tenant, pairs)]
    assert verdicts == [0, 0, RefusalReason.NOT_IN_AUDIENCE, RefusalReason.NOT_IN_AUDIENCE, 0]


async def test_roles_and_lists_of_another_tenant_or_offer_admit_nobody(
    shared_database: Database,
    store: PostgresFacts,
    shared_owner: asyncpg.Connection,
    tenant: TenantId,
) -> None:
    other_tenant = await insert_tenant(shared_owner)
    offer = await insert_offer(shared_owner, tenant, audience_mode="listed")
    other_offer = await insert_offer(shared_owner, tenant, audience_mode="listed")
    customer = new_id()
    await shared_owner.execute(
        "insert into guerdon.offer_allowed_roles values ($1, $2, 'vip')", tenant, offer
    )
    await shared_owner.execute(
        "insert into guerdon.offer_allowed_customers values ($1, $2, $3)",
        tenant, other_offer, customer,
    )  # fmt: skip
    facts = CustomerFacts(customer_id=CustomerId(customer), roles=("vip",))
    await store.upsert_customers(other_tenant, [facts])
    judgement = await judge(shared_database, tenant, offer, customer)
    assert judgement.verdict == RefusalReason.NOT_IN_AUDIENCE


async def test_the_first_refusal_in_precedence_is_the_verdict(
    shared_database: Database,
    store: PostgresFacts,
    shared_owner: asyncpg.Connection,
    tenant: TenantId,
) -> None:
    offer = await insert_offer(shared_owner, tenant, audience_mode="listed")
    await insert_rules(shared_owner, tenant, offer, ("min_topups", {"count": 1}))
    blocked, deleted, plain = CustomerId(new_id()), CustomerId(new_id()), CustomerId(new_id())
    await store.upsert_customers(
        tenant,
        [
            CustomerFacts(customer_id=blocked, status=CustomerStatus.BLOCKED),
            CustomerFacts(customer_id=deleted),
            CustomerFacts(customer_id=plain),
        ],
    )
    await shared_owner.execute(
        "update guerdon.customers set deleted_at = now() where customer_id = $1", deleted
    )
    pairs = [(offer, customer) for customer in (blocked, deleted, plain)]
    judgements = await judge_all(shared_database, tenant, pairs)
    assert [judgement.verdict for judgement in judgements] == [
        RefusalReason.CUSTOMER_BLOCKED,
        RefusalReason.CUSTOMER_BLOCKED,
        RefusalReason.NOT_IN_AUDIENCE,
    ]
    assert all(not rule.passed for judgement in judgements for rule in judgement.rules)


async def test_nothing_is_asked_of_a_pair_without_customer_or_offer(
    shared_database: Database,
    store: PostgresFacts,
    shared_owner: asyncpg.Connection,
    tenant: TenantId,
) -> None:
    offer = await insert_offer(shared_owner, tenant, audience_mode="listed")
    await insert_rules(shared_owner, tenant, offer, ("min_topups", {"count": 1}))
    customer = CustomerId(new_id())
    await store.upsert_customers(tenant, [CustomerFacts(customer_id=customer)])
    pairs = [(offer, None), (None, customer), (None, None), (new_id(), customer)]
    judgements = await judge_all(shared_database, tenant, pairs)
    assert [(judgement.verdict, judgement.rules) for judgement in judgements] == [
        (0, ()), (0, ()), (0, ()), (RefusalReason.NOT_IN_AUDIENCE, ()),
    ]  # fmt: skip
    assert await judge_all(shared_database, tenant, []) == []


async def test_an_explanation_is_made_only_on_demand(
    shared_database: Database, shared_owner: asyncpg.Connection, tenant: TenantId
) -> None:
    offer = await insert_offer(shared_owner, tenant)
    await insert_rules(shared_owner, tenant, offer, ("min_topups", {"count": 1}))
    row = await shared_database.call(
        "select * from guerdon.judge_customers_v1($1, $2, $3, $4, false)",
        tenant, [offer], [new_id()], NOW,
    )  # fmt: skip
    assert row["p_verdicts"] == [RefusalReason.NOT_ELIGIBLE]
    assert row["p_explanations"] is None
