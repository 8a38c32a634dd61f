"""Customers, products, suppliers and operators through their adapter, down to the SQL functions."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.facts import PostgresFacts
from guerdon.domain.facts import (
    CustomerFacts,
    CustomerStatus,
    OperatorFacts,
    ProductFacts,
    PushCounts,
    SupplierFacts,
    SupplierProductFacts,
)
from guerdon.domain.identifiers import CustomerId, ProductId, TenantId
from guerdon.domain.products import ProductKind
from guerdon.ports import Change, ChangeKind
from tests.support.facts import moment, product, until_blocked
from tests.support.ledger import insert_tenant, new_id


@pytest.fixture
def store(shared_database: Database) -> PostgresFacts:
    return PostgresFacts(shared_database)


@pytest.fixture
async def tenant(shared_owner: asyncpg.Connection) -> TenantId:
    return await insert_tenant(shared_owner)


@pytest.fixture
async def heard(shared_url: str) -> AsyncIterator["asyncio.Queue[Change]"]:
    """The changes that Postgres notifies of, in order."""
    queue: asyncio.Queue[Change] = asyncio.Queue()

    def put(*message: object) -> None:
        change = Change.parse(str(message[-1]))
        assert change is not None
        queue.put_nowait(change)

    connection = await asyncpg.connect(shared_url)
    await connection.add_listener("guerdon_changes", put)
    yield queue
    await connection.close()


def supplier(*links: SupplierProductFacts, supplier_id: UUID | None = None) -> SupplierFacts:
    return SupplierFacts(supplier_id=supplier_id or new_id(), name="Acme", supplier_products=links)


def link(product_id: UUID, **fields: Any) -> SupplierProductFacts:
    given = {"supplier_product_id": new_id(), "product_id": ProductId(product_id), **fields}
    return SupplierProductFacts(**given)


async def facts_version(owner: asyncpg.Connection, product_id: UUID) -> int | None:
    version: int | None = await owner.fetchval(
        "select facts_version from guerdon.products where product_id = $1", product_id
    )
    return version


async def test_a_customer_is_replaced_with_all_its_roles(
    store: PostgresFacts, shared_owner: asyncpg.Connection, tenant: TenantId
) -> None:
    customer = CustomerFacts(
        customer_id=CustomerId(new_id()), external_ref="acct-1", status=CustomerStatus.BLOCKED,
        created_at=moment(5), last_active_at=moment(1), roles=("b", "a", "b"),
    )  # fmt: skip

    async def push(**fields: Any) -> PushCounts:
        changed = msgspec.structs.replace(customer, **fields)
        return await store.upsert_customers(tenant, [changed])

    async def kept() -> tuple[Any, ...]:
        row = await shared_owner.fetchrow(
            "select external_ref, status, created_at, last_active_at, "
            "array(select role_name from guerdon.customer_roles r "
            "      where r.customer_id = c.customer_id order by role_name) "
            "from guerdon.customers c where customer_id = $1",
            customer.customer_id,
        )
        assert row is not None
        return tuple(row)

    assert await push() == PushCounts(1, 0, 0)
    assert await kept() == ("acct-1", "blocked", moment(5), moment(1), ["a", "b"])
    assert await push(roles=("a", "b")) == PushCounts(0, 0, 1)
    assert await push(last_active_at=moment(2)) == PushCounts(0, 0, 1)
    assert await push(roles=("c", "b")) == PushCounts(0, 1, 0)
    assert await kept() == ("acct-1", "blocked", moment(5), moment(1), ["b", "c"])
    nothing = CustomerFacts(customer_id=customer.customer_id)
    assert await store.upsert_customers(tenant, [customer, nothing]) == PushCounts(0, 1, 0)
    assert await kept() == (None, "active", None, moment(1), [])
    assert await push(last_active_at=moment(0)) == PushCounts(0, 1, 0)
    days = await shared_owner.fetch(
        "select day from guerdon.customer_activity_daily where customer_id = $1 order by day",
        customer.customer_id,
    )
    assert [row["day"] for row in days] == [moment(1).date(), moment(0).date()]


async def test_a_product_is_unchanged_until_something_of_it_changes(
    store: PostgresFacts,
    shared_owner: asyncpg.Connection,
    tenant: TenantId,
    heard: "asyncio.Queue[Change]",
) -> None:
    facts = product(
        sku="CAKE", kind=ProductKind.OPERATOR, operator_id=new_id(), category_id=new_id(),
        names={"en": "Cake", "ar": "كعكة"}, unit_name="piece", unit_quantity=0.5, cost_minor=1800,
        currency="NGN", stock_quantity=4,
    )  # fmt: skip
    pushed = await store.upsert_products(tenant, [facts])
    assert (pushed.counts, pushed.facts_versions) == (PushCounts(1, 0, 0), {facts.product_id: 1})
    pushed = await store.upsert_products(tenant, [facts])
    assert (pushed.counts, pushed.facts_versions) == (PushCounts(0, 0, 1), {})
    changes: list[dict[str, Any]] = [
        {"sku": None}, {"kind": ProductKind.SERVICE}, {"operator_id": None}, {"category_id": None},
        {"names": {"en": "Cake"}}, {"unit_name": None}, {"unit_quantity": 6.0},
        {"list_price_minor": None}, {"cost_minor": None}, {"currency": "USD"},
        {"stock_quantity": 0}, {"active": False}, {"deleted": True},
    ]  # fmt: skip
    for number, change in enumerate(changes, start=2):
        facts = msgspec.structs.replace(facts, **change)
        pushed = await store.upsert_products(tenant, [facts])
        assert pushed.counts == PushCounts(0, 1, 0), change
        assert pushed.facts_versions == {facts.product_id: number}
    for version in range(1, len(changes) + 2):
        told = await asyncio.wait_for(heard.get(), 5)
        assert told == Change(ChangeKind.PRODUCT, tenant, str(facts.product_id), version)
    assert heard.empty()


async def test_a_price_without_currency_is_in_the_tenants(
    store: PostgresFacts, shared_owner: asyncpg.Connection, tenant: TenantId
) -> None:
    facts = product()
    await store.upsert_products(tenant, [facts, msgspec.structs.replace(facts, sku="last")])
    row = await shared_owner.fetchrow(
        "select currency, sku from guerdon.products where product_id = $1", facts.product_id
    )
    assert tuple(row or ()) == ("NGN", "last")


async def test_a_deleted_product_keeps_its_time_and_comes_back(
    store: PostgresFacts, shared_owner: asyncpg.Connection, tenant: TenantId
) -> None:
    async def deleted_at() -> object:
        return await shared_owner.fetchval(
            "select deleted_at from guerdon.products where product_id = $1", facts.product_id
        )

    facts = product(deleted=True)
    await store.upsert_products(tenant, [facts])
    first = await deleted_at()
    await store.upsert_products(tenant, [msgspec.structs.replace(facts, sku="x")])
    assert first is not None
    assert await deleted_at() == first
    await store.upsert_products(tenant, [msgspec.structs.replace(facts, deleted=False)])
    assert await deleted_at() is None


async def test_a_change_of_a_link_raises_the_version_of_its_products_of_before_and_of_now(
    store: PostgresFacts,
    shared_owner: asyncpg.Connection,
    tenant: TenantId,
    heard: "asyncio.Queue[Change]",
) -> None:
    before, now, unknown = product(), product(), new_id()
    await store.upsert_products(tenant, [before, now])
    acme = supplier(link(before.product_id), link(unknown))

    async def push(facts: SupplierFacts) -> tuple[PushCounts, dict[ProductId, int]]:
        pushed = await store.upsert_suppliers(tenant, [facts])
        return pushed.counts, dict(pushed.facts_versions)

    def changed(**fields: Any) -> SupplierFacts:
        first, *others = acme.supplier_products
        links = (msgspec.structs.replace(first, **fields), *others)
        return msgspec.structs.replace(acme, supplier_products=links)

    assert await push(acme) == (PushCounts(1, 0, 0), {before.product_id: 2})
    assert await push(acme) == (PushCounts(0, 0, 1), {})
    assert await push(supplier(supplier_id=acme.supplier_id)) == (PushCounts(0, 0, 1), {})
    moved = changed(product_id=now.product_id)
    assert await push(moved) == (PushCounts(0, 1, 0), {before.product_id: 3, now.product_id: 2})
    costly = changed(product_id=now.product_id, cost_minor=5)
    assert await push(costly) == (PushCounts(0, 1, 0), {now.product_id: 3})
    gone = changed(product_id=now.product_id, cost_minor=5, deleted=True)
    assert await push(gone) == (PushCounts(0, 1, 0), {now.product_id: 4})
    assert await push(gone) == (PushCounts(0, 0, 1), {})
    closed = SupplierFacts(supplier_id=acme.supplier_id, name="Acme", deleted=True)
    assert await push(closed) == (PushCounts(0, 1, 0), {})
    told = [await asyncio.wait_for(heard.get(), 5) for _ in range(7)]
    assert heard.empty()
    assert {(change.subject, change.version) for change in told} == {
        (str(before.product_id), version) for version in (1, 2, 3)
    } | {(str(now.product_id), version) for version in (1, 2, 3, 4)}
    assert await facts_version(shared_owner, now.product_id) == 4


async def test_a_link_that_moves_twice_at_once_raises_the_product_in_between(
    shared_database: Database, shared_owner: asyncpg.Connection, tenant: TenantId
) -> None:
    store = PostgresFacts(shared_database)
    first, between, last = product(), product(), product()
    await store.upsert_products(tenant, [first, between, last])
    acme = supplier(link(first.product_id))
    await store.upsert_suppliers(tenant, [acme])

    def moved_to(goal: ProductFacts) -> SupplierFacts:
        links = (msgspec.structs.replace(acme.supplier_products[0], product_id=goal.product_id),)
        return msgspec.structs.replace(acme, supplier_id=new_id(), supplier_products=links)

    async with shared_database.tenant_transaction(tenant) as connection:
        await connection.fetchrow(
            "select * from guerdon.upsert_suppliers_v1($1, $2)", tenant, [moved_to(between)]
        )
        racing = asyncio.create_task(store.upsert_suppliers(tenant, [moved_to(last)]))
        await until_blocked(shared_owner, racing)
    pushed = await racing
    assert pushed.facts_versions == {between.product_id: 3, last.product_id: 2}
    assert await facts_version(shared_owner, first.product_id) == 3


async def test_an_operator_is_named_and_renamed(store: PostgresFacts, tenant: TenantId) -> None:
    mtn = OperatorFacts(operator_id=new_id(), name="MTN")
    renamed = OperatorFacts(operator_id=mtn.operator_id, name="MTN Nigeria")
    assert await store.upsert_operators(tenant, [mtn]) == PushCounts(1, 0, 0)
    assert await store.upsert_operators(tenant, [mtn]) == PushCounts(0, 0, 1)
    assert await store.upsert_operators(tenant, [mtn, renamed]) == PushCounts(0, 1, 0)


async def test_pushes_that_overlap_on_several_connections_neither_deadlock_nor_lose_a_change(
    shared_url: str, shared_owner: asyncpg.Connection, tenant: TenantId
) -> None:
    products = [new_id() for _ in range(20)]
    suppliers = [new_id() for _ in range(5)]
    links = [new_id() for _ in range(20)]
    customers = [new_id() for _ in range(20)]
    database = await Database.open(shared_url, connections_max=6)
    store = PostgresFacts(database)
    raised: dict[UUID, int] = dict.fromkeys(products, 0)

    async def push_all(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(12):
            pushed = await store.upsert_products(
                tenant,
                [product(each, stock_quantity=chance.randrange(3))
                 for each in chance.sample(products, 10)],
            )  # fmt: skip
            linked = await store.upsert_suppliers(
                tenant,
                [
                    supplier(
                        *(SupplierProductFacts(supplier_product_id=each,
                                               product_id=ProductId(chance.choice(products)))
                          for each in chance.sample(links, 5)),
                        supplier_id=chance.choice(suppliers),
                    )
                    for _ in range(3)
                ],
            )  # fmt: skip
            for versions in (pushed.facts_versions, linked.facts_versions):
                for each in versions:
                    raised[each] += 1
            await store.upsert_customers(
                tenant,
                [
                    CustomerFacts(customer_id=CustomerId(each),
                                  roles=tuple(chance.sample("abcde", chance.randrange(4))))
                    for each in chance.sample(customers, 10)
                ],
            )  # fmt: skip

    try:
        await asyncio.gather(*(push_all(seed) for seed in range(6)))
    finally:
        await database.close()
    for each in products:
        assert await facts_version(shared_owner, each) == raised[each] > 1
