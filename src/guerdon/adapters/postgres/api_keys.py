"""ports.ApiKeyStore on Postgres."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg
import msgspec

from guerdon.adapters.postgres import queries
from guerdon.adapters.postgres.connection import Database
from guerdon.domain.identifiers import TenantId
from guerdon.ports import ApiKey, Change, ChangeKind, ExpiryPassed, KeyProof


class PostgresApiKeys:
    """Keys in guerdon.api_keys. See ports.ApiKeyStore for the contract of each method."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_proof(self, tenant_id: TenantId, key_id: str) -> KeyProof | None:
        row = await self._database.call(queries.text("read_api_key"), tenant_id, key_id)
        if row["o_secret_hash"] is None:
            return None
        return KeyProof(
            secret_hash=row["o_secret_hash"],
            scopes=frozenset(row["o_scopes"]),
            revoked=row["o_revoked"],
            seconds_left=row["o_seconds_left"],
        )

    async def create(self, key: ApiKey, secret_hash: bytes) -> ApiKey:
        async with self._database.tenant_transaction(key.tenant_id) as connection:
            created_at = await connection.fetchval(
                queries.text("insert_api_key"),
                key.tenant_id,
                key.key_id,
                key.name,
                secret_hash,
                key.scopes,
                key.expires_at,
            )
        if created_at is None:
            raise ExpiryPassed
        return msgspec.structs.replace(key, created_at=created_at)

    async def list_page(
        self, tenant_id: TenantId, before: tuple[datetime, str] | None, limit: int
    ) -> Sequence[ApiKey]:
        async with self._database.tenant_transaction(tenant_id) as connection:
            rows = await connection.fetch(
                queries.text("list_api_keys"), tenant_id, *(before or (None, None)), limit
            )
        return [_key(row) for row in rows]

    async def revoke(self, tenant_id: TenantId, key_id: str) -> ApiKey | None:
        change = Change(ChangeKind.KEY, tenant_id, key_id, 0)
        async with self._database.tenant_transaction(tenant_id) as connection:
            row = await connection.fetchrow(
                queries.text("revoke_api_key"), tenant_id, key_id, change.text()
            )
        return None if row is None else _key(row)


def _key(row: asyncpg.Record) -> ApiKey:
    return ApiKey(
        tenant_id=TenantId(row["tenant_id"]),
        key_id=row["key_id"],
        name=row["name"],
        scopes=tuple(row["scopes"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )
