"""The control plane's pushes: all violations at once, nothing half written, changes told, and no
endless wait for somebody else's locks."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.facts import PostgresFacts
from guerdon.controlplane.push_facts import PushFacts
from guerdon.domain.errors import Conflict, FieldsInvalid
from guerdon.domain.facts import (
    PushCounts,
    SupplierFacts,
    SupplierProductFacts,
)
from guerdon.domain.identifiers import ProductId, TenantId
from guerdon.ports import Change, ChangeKind
from tests.support.facts import product, transaction, until_blocked
from tests.support.ledger import insert_tenant, new_id

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Board:
    """Remembers what was published."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    async def publish(self, changes: Sequence[Change]) -> None:
        self.changes += changes


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def facts(shared_database: Database, board: Board) -> PushFacts:
    return PushFacts(PostgresFacts(shared_database), board, lambda: NOW)


@pytest.fixture
async def tenant(shared_owner: asyncpg.Connection) -> TenantId:
    return await insert_tenant(shared_owner)


async def test_one_wrong_item_refuses_the_push_before_anything_is_written(
    facts: PushFacts, shared_owner: asyncpg.Connection, tenant: TenantId
) -> None:
    good = transaction(new_id(), occurred_at=NOW)
    bad = transaction(new_id(), occurred_at=NOW + timedelta(days=3), currency="XYZ")
    with pytest.raises(FieldsInvalid) as refused:
        await facts.push_transactions(tenant, [good, bad])
    assert [violation.path for violation in refused.value.violations] == [
        "transactions[1].currency", "transactions[1].occurred_time",
    ]  # fmt: skip
    written = "select count(*) from guerdon.transactions where tenant_id = $1"
    assert await shared_owner.fetchval(written, tenant) == 0
    assert await facts.push_transactions(tenant, [good]) == PushCounts(1, 0, 0)


async def test_changed_products_are_told_once_each_with_their_version(
    facts: PushFacts, board: Board, tenant: TenantId
) -> None:
    cake = product()
    link = SupplierProductFacts(supplier_product_id=new_id(), product_id=ProductId(cake.product_id))
    acme = SupplierFacts(supplier_id=new_id(), name="Acme", supplier_products=(link,))
    for _ in range(2):
        await facts.push_products(tenant, [cake])
        await facts.push_suppliers(tenant, [acme])
    subject = str(cake.product_id)
    assert board.changes == [
        Change(ChangeKind.PRODUCT, tenant, subject, 1),
        Change(ChangeKind.PRODUCT, tenant, subject, 2),
    ]


async def test_a_push_gives_up_on_locks_that_are_not_to_be_had(
    facts: PushFacts, shared_database: Database, shared_owner: asyncpg.Connection, tenant: TenantId
) -> None:
    customer = new_id()
    await facts.push_transactions(tenant, [transaction(customer, occurred_at=NOW)])
    async with shared_database.tenant_transaction(tenant) as connection:
        await connection.execute(
            "select guerdon.lock_customer_facts_v1($1, array[$2::uuid])", tenant, customer
        )
        waiting = transaction(customer, occurred_at=NOW)
        racing = asyncio.create_task(facts.push_transactions(tenant, [waiting]))
        await until_blocked(shared_owner, racing)
        with pytest.raises(Conflict):
            await racing
    assert await facts.push_transactions(tenant, [waiting]) == PushCounts(1, 0, 0)
