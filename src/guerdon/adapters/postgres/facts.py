"""ports.FactStore on Postgres: one call of one SQL function for each push."""

from collections.abc import Mapping, Sequence
from typing import Any

from guerdon.adapters.postgres import queries
from guerdon.adapters.postgres.connection import Database
from guerdon.domain.errors import FieldsInvalid, FieldViolation, TransactionConflict
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


class PostgresFacts:
    """Facts in schema guerdon. See ports.FactStore for the contract of each method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def upsert_customers(
        self, tenant_id: TenantId, customers: Sequence[CustomerFacts]
    ) -> PushCounts:
        """Roles are a set: their order and repetitions do not count."""
        return _counts(await self._upsert("upsert_customers", tenant_id, customers))

    async def upsert_products(
        self, tenant_id: TenantId, products: Sequence[ProductFacts]
    ) -> ProductsPushed:
        """The SQL function notifies the caches, in the same transaction."""
        return _products_pushed(await self._upsert("upsert_products", tenant_id, products))

    async def upsert_operators(
        self, tenant_id: TenantId, operators: Sequence[OperatorFacts]
    ) -> PushCounts:
        """Nothing but the names of operators is kept."""
        return _counts(await self._upsert("upsert_operators", tenant_id, operators))

    async def upsert_suppliers(
        self, tenant_id: TenantId, suppliers: Sequence[SupplierFacts]
    ) -> ProductsPushed:
        """The SQL function notifies the caches, in the same transaction."""
        return _products_pushed(await self._upsert("upsert_suppliers", tenant_id, suppliers))

    async def record_transactions(
        self, tenant_id: TenantId, transactions: Sequence[Transaction]
    ) -> PushCounts:
        """Typed arrays rather than JSON: this is what comes in bulk."""
        row = await self._database.call(
            queries.text("record_transactions"),
            tenant_id,
            [transaction.transaction_id for transaction in transactions],
            [transaction.customer_id for transaction in transactions],
            [transaction.kind.value for transaction in transactions],
            [transaction.status.value for transaction in transactions],
            [transaction.operator_id for transaction in transactions],
            [transaction.product_id for transaction in transactions],
            [transaction.amount_minor for transaction in transactions],
            [transaction.currency for transaction in transactions],
            [transaction.occurred_at for transaction in transactions],
        )
        if row["o_conflicts"]:
            raise TransactionConflict(row["o_conflicts"])
        if row["o_is_beyond"]:
            text = "amounts of a customer sum up to more than can be kept"
            raise FieldsInvalid([FieldViolation("transactions", text)])
        return _counts(row)

    async def record_activities(
        self, tenant_id: TenantId, activities: Sequence[ActivityDay]
    ) -> PushCounts:
        """A day that transactions made active already counts as inserted when it is first told."""
        row = await self._database.call(
            queries.text("record_activity"),
            tenant_id,
            [activity.customer_id for activity in activities],
            [activity.day for activity in activities],
        )
        return PushCounts(row["o_inserted"], 0, row["o_unchanged"])

    async def _upsert(
        self, query: str, tenant_id: TenantId, items: Sequence[object]
    ) -> Mapping[str, Any]:
        row: Mapping[str, Any] = await self._database.call(queries.text(query), tenant_id, items)
        return row


def _counts(row: Mapping[str, Any]) -> PushCounts:
    return PushCounts(row["o_inserted"], row["o_updated"], row["o_unchanged"])


def _products_pushed(row: Mapping[str, Any]) -> ProductsPushed:
    return ProductsPushed(
        _counts(row), dict(zip(row["o_products"], row["o_versions"], strict=True))
    )
