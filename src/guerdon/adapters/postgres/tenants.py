"""ports.TenantStore on Postgres."""

from guerdon.adapters.postgres import queries
from guerdon.adapters.postgres.connection import Database, PoolConnection
from guerdon.domain.errors import Defect
from guerdon.domain.identifiers import TenantId
from guerdon.domain.tenants import Tenant


class PostgresTenants:
    """Tenants in schema guerdon. See ports.TenantStore for the contract of each method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_by_slug(self, slug: str) -> TenantId | None:
        row = await self._database.call(queries.text("find_slug"), slug)
        return None if row is None else TenantId(row["tenant_id"])

    async def knows_time_zone(self, name: str) -> bool:
        return await self._database.call(queries.text("find_time_zone"), name) is not None

    async def found(self, tenant: Tenant) -> bool:
        async with self._database.tenant_transaction(tenant.tenant_id) as connection:
            return await _insert(connection, tenant)

    async def found_listed(self, tenant: Tenant, slug: str) -> bool:
        async with self._database.tenant_transaction(tenant.tenant_id) as connection:
            # The name first: whoever wants the same one waits here until it is known to be taken.
            listed = await connection.fetchval(queries.text("insert_slug"), slug, tenant.tenant_id)
            if listed and not await _insert(connection, tenant):
                raise Defect("a tenant of this id exists")
        return listed is True

    async def list_in_directory(self, slug: str, tenant_id: TenantId) -> bool:
        row = await self._database.call(queries.text("insert_slug"), slug, tenant_id)
        return row is not None


async def _insert(connection: PoolConnection, tenant: Tenant) -> bool:
    founded = await connection.fetchval(
        queries.text("insert_tenant"),
        tenant.tenant_id,
        tenant.name,
        tenant.currency,
        tenant.time_zone,
        tenant.rounding,
        tenant.price_source,
        tenant.stock_limits,
        tenant.default_locale,
    )
    return founded is True
