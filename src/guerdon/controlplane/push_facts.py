"""Facts: what other systems know, taken in bulk and idempotently.

A stream of transactions is `push_transactions`, chunk by chunk: a chunk that was answered is
durable, and one that was not may be sent again.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from guerdon.domain import fact_checks
from guerdon.domain.errors import Conflict, FieldsInvalid, FieldViolation
from guerdon.domain.facts import (
    ActivityDay,
    CustomerFacts,
    OperatorFacts,
    ProductFacts,
    ProductsPushed,
    PushCounts,
    SupplierFacts,
    Transaction,
)
from guerdon.domain.identifiers import TenantId
from guerdon.limits import PUBLICATION_ITEMS_MAX
from guerdon.ports import Change, ChangeKind, ChangePublisher, FactStore, LocksTimedOut

Pushed = TypeVar("Pushed")


class PushFacts:
    """Takes pushes of all tenants. Each is one transaction: all of it, or nothing and an error.

    Besides the errors of ports.FactStore, every method raises FieldsInvalid with all violations,
    and Conflict where locks were not to be had.
    """

    def __init__(
        self, store: FactStore, publisher: ChangePublisher, now: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._publisher = publisher
        self._now = now

    async def push_customers(
        self, tenant_id: TenantId, customers: Sequence[CustomerFacts]
    ) -> PushCounts:
        """Customers with all their roles."""
        _refuse(fact_checks.check_customers(customers, self._now()))
        return await _written(self._store.upsert_customers(tenant_id, customers))

    async def push_products(
        self, tenant_id: TenantId, products: Sequence[ProductFacts]
    ) -> PushCounts:
        """Products; the caches of all servers hear of those that changed."""
        _refuse(fact_checks.check_products(products))
        pushed = await _written(self._store.upsert_products(tenant_id, products))
        return await self._publish(tenant_id, pushed)

    async def push_operators(
        self, tenant_id: TenantId, operators: Sequence[OperatorFacts]
    ) -> PushCounts:
        """Operators."""
        return await _written(self._store.upsert_operators(tenant_id, operators))

    async def push_suppliers(
        self, tenant_id: TenantId, suppliers: Sequence[SupplierFacts]
    ) -> PushCounts:
        """Suppliers and their links; the caches of all servers hear of the products behind them."""
        _refuse(fact_checks.check_suppliers(suppliers))
        pushed = await _written(self._store.upsert_suppliers(tenant_id, suppliers))
        return await self._publish(tenant_id, pushed)

    async def push_transactions(
        self, tenant_id: TenantId, transactions: Sequence[Transaction]
    ) -> PushCounts:
        """Transactions, new or further on. Raises TransactionConflict too."""
        _refuse(fact_checks.check_transactions(transactions, self._now()))
        return await _written(self._store.record_transactions(tenant_id, transactions))

    async def push_activities(
        self, tenant_id: TenantId, activities: Sequence[ActivityDay]
    ) -> PushCounts:
        """Days of activity without a transaction."""
        _refuse(fact_checks.check_activities(activities, self._now()))
        return await _written(self._store.record_activities(tenant_id, activities))

    async def _publish(self, tenant_id: TenantId, pushed: ProductsPushed) -> PushCounts:
        changes = [
            Change(ChangeKind.PRODUCT, tenant_id, str(product_id), version)
            for product_id, version in pushed.facts_versions.items()
        ]
        for start in range(0, len(changes), PUBLICATION_ITEMS_MAX):
            await self._publisher.publish(changes[start : start + PUBLICATION_ITEMS_MAX])
        return pushed.counts


def _refuse(violations: list[FieldViolation]) -> None:
    if violations:
        raise FieldsInvalid(violations)


async def _written(push: Awaitable[Pushed]) -> Pushed:
    try:
        return await push
    except LocksTimedOut as error:
        raise Conflict from error
