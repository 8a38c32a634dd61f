"""The pool, and the two ways to use it: one autocommit statement, or a transaction of one
tenant."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import asyncpg
import msgspec

from guerdon.adapters.postgres.errors import translated
from guerdon.domain.errors import GuerdonError
from guerdon.domain.identifiers import TenantId
from guerdon.limits import (
    BATCH_SECONDS_MAX,
    CLIENT_CHECK_MILLISECONDS,
    IDLE_TRANSACTION_SECONDS_MAX,
    POOL_ACQUIRE_SECONDS_MAX,
    POOL_CONNECTIONS_MAX,
)

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

_RELEASE_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)

PoolConnection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"


class Database:
    """A pool of connections that work as the application role.

    Every method raises the errors of adapters/postgres/errors.py. A connection whose command was
    cancelled, timed out or lost is closed: its state is not known, so nobody may use it again.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        role: str | None = "guerdon_app",
        connections_max: int = POOL_CONNECTIONS_MAX,
        statement_cache_size: int = 100,
        ssl: Any = None,
    ) -> Self:
        """Connect as `role`, or as whom the URL says when the role is empty.

        Without a role nothing is set on the session, as PgBouncer in transaction mode wants it:
        give
        the login its timeouts with ALTER ROLE then.
        """
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=connections_max,
            init=_register_codecs,
            server_settings=_session_settings(role),
            statement_cache_size=statement_cache_size,
            reset=_keep_session,
            max_inactive_connection_lifetime=60.0,
            ssl=ssl,
        )
        return cls(pool)

    async def close(self) -> None:
        """Wait for what runs, at most BATCH_SECONDS_MAX, then close."""
        try:
            await asyncio.wait_for(self._pool.close(), BATCH_SECONDS_MAX)
        except TimeoutError:
            self._pool.terminate()

    @property
    def connections_in_use(self) -> int:
        """Connections that work right now."""
        return self._pool.get_size() - self._pool.get_idle_size()

    async def call(self, sql: str, *arguments: Any) -> Any:
        """Run one autocommit statement and return its only row, or None."""
        async with self.connection() as connection:
            return await connection.fetchrow(sql, *arguments, timeout=BATCH_SECONDS_MAX)

    @asynccontextmanager
    async def tenant_transaction(self, tenant_id: TenantId) -> AsyncIterator[PoolConnection]:
        """A READ COMMITTED transaction that sees one tenant's rows; commits when the block ends."""
        async with self.connection() as connection, connection.transaction():
            await connection.execute(
                "select set_config('guerdon.tenant_id', $1, true)", str(tenant_id)
            )
            yield connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[PoolConnection]:
        """A connection of the pool; closed instead of pooled when the block does not end well."""
        with translated(sent=False):
            connection = await self._pool.acquire(timeout=POOL_ACQUIRE_SECONDS_MAX)
        try:
            with translated(sent=True):
                yield connection
        except BaseException as error:
            if not _is_clean(error):
                # The pool lets go of a connection as soon as it is lost; then there is none left.
                with suppress(asyncpg.InterfaceError):
                    connection.terminate()
            raise
        finally:
            # What was answered stays answered, also when the connection is lost on its way back.
            with suppress(*_RELEASE_ERRORS):
                await asyncio.shield(self._pool.release(connection))


def _is_clean(error: BaseException) -> bool:
    """Whether the connection is in step with us: the server itself ended the statement, or the
    block raised an error of ours between two statements."""
    if isinstance(error, GuerdonError) and error.__cause__ is None:
        return True
    cause = error.__cause__ or error
    return isinstance(cause, asyncpg.PostgresError) and not isinstance(
        cause, asyncpg.PostgresConnectionError | asyncpg.OperatorInterventionError
    )


def _session_settings(role: str | None) -> dict[str, str]:
    if not role:
        return {}
    return {
        "role": role,
        "application_name": "guerdon",
        # A server that was killed must not be granted anything while it no longer listens.
        "client_connection_check_interval": f"{CLIENT_CHECK_MILLISECONDS}",
        "statement_timeout": f"{int(BATCH_SECONDS_MAX * 1000)}",
        "idle_in_transaction_session_timeout": f"{int(IDLE_TRANSACTION_SECONDS_MAX * 1000)}",
    }


async def _keep_session(_: object) -> None:
    """Nothing: no statement of ours leaves session state, and asyncpg's own reset would cost every
    batch a round trip. asyncpg still rolls an open transaction back before it calls this."""


async def _register_codecs(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + msgspec.json.encode(value),
        decoder=lambda data: msgspec.json.decode(memoryview(data)[1:]),
        format="binary",
    )
