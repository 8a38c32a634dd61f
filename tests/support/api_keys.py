"""API keys written straight into a test's database."""

import secrets

import asyncpg

from guerdon.domain.api_keys import Scope, hash_secret, make_key
from guerdon.domain.identifiers import TenantId


async def insert_api_key(owner: asyncpg.Connection, tenant_id: TenantId, pepper: bytes) -> str:
    """A key with every scope, as its caller presents it."""
    key = make_key(tenant_id, secrets.token_bytes)
    await owner.execute(
        "insert into guerdon.api_keys (tenant_id, key_id, name, secret_hash, scopes) "
        "values ($1, $2, 'test', $3, $4)",
        tenant_id, key.key_id, hash_secret(pepper, key.secret), list(Scope),
    )  # fmt: skip
    return key.text
