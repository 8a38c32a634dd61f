"""Postgres as a node. What is asked of it by SQL is a coroutine; the rest blocks, as in node.py."""

import asyncio
import contextlib
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import asyncpg

from guerdon.embedded import places, postgres
from guerdon.embedded.binaries import find_postgres
from guerdon.embedded.process import ServerOrder
from guerdon.embedded.temporary import temporary_folder
from loadtests.faults.node import POLL_SECONDS, Node, ending

# Seconds for one statement of the lab's own.
STATEMENT_SECONDS_MAX = 10.0
# Seconds in which Postgres takes connections again after it lost a backend.
RECOVERY_SECONDS_MAX = 30.0
# As Guerdon's pools name themselves.
APPLICATION = "guerdon"

# What a session gets that ends unasked, or cannot begin yet.
LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    OSError,
)
T = TypeVar("T")

BACKENDS = """
    select pid from pg_stat_activity
    where backend_type = 'client backend' and application_name = $1
    order by backend_start, pid
"""


class PostgresNode(Node):
    """`url` is the superuser's, of database `postgres`."""

    def __init__(
        self,
        make_order: Callable[[int], ServerOrder],
        is_ready: Callable[[int], bool],
        password: str,
    ) -> None:
        super().__init__(make_order, is_ready)
        login = f"{postgres.SUPERUSER}:{password}"
        self.url = f"postgresql://{login}@127.0.0.1:{self.port}/postgres?sslmode=disable"

    def url_at(self, port: int) -> str:
        """The same by another port, as of a link."""
        return self.url.replace(f":{self.port}/", f":{port}/")

    async def backends(self) -> list[int]:
        """Process ids of the present connections of Guerdon servers, in order of their start."""

        async def ask(connection: asyncpg.Connection) -> list[int]:
            return [row["pid"] for row in await connection.fetch(BACKENDS, APPLICATION)]

        return await self._patiently(ask)

    async def terminate(self, pids: list[int]) -> None:
        """pg_terminate_backend: these sessions get 57P01, all others live on."""

        async def tell(connection: asyncpg.Connection) -> None:
            await connection.execute("select pg_terminate_backend(unnest($1::integer[]))", pids)

        await self._patiently(tell)

    async def set_read_only(self, value: bool) -> None:
        """Soon every new statement of every session that would write gets 25006, as after a
        failover. Outlives a death of the server."""
        setting = "= on" if value else "to default"

        async def tell(connection: asyncpg.Connection) -> None:
            await connection.execute(f"alter system set default_transaction_read_only {setting}")
            await connection.execute("select pg_reload_conf()")

        await self._patiently(tell)

    async def _patiently(self, say: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """On a connection of its own; again when that is lost, as while Postgres recovers from the
        death of a backend. `say` must bear to be repeated."""
        async with asyncio.timeout(RECOVERY_SECONDS_MAX):
            while True:
                with contextlib.suppress(*LOST):
                    connection = await asyncpg.connect(self.url, timeout=STATEMENT_SECONDS_MAX)
                    try:
                        return await say(connection)
                    finally:
                        with contextlib.suppress(*LOST):
                            await connection.close(timeout=STATEMENT_SECONDS_MAX)
                await asyncio.sleep(POLL_SECONDS)


@contextlib.contextmanager
def mortal_postgres(logs: Path | None = None) -> Iterator[PostgresNode]:
    """A new cluster that flushes commits as production does. Its logs go to `logs` if given."""
    binaries = find_postgres()
    with temporary_folder() as folder:
        data = folder / f"postgres-{binaries.major}"
        password = postgres.own_password(folder, make_new=True)
        postgres.make_cluster(binaries, data, password)

        def order(port: int) -> ServerOrder:
            return ServerOrder(
                name="Postgres",
                command=postgres.server_command(binaries, data, port, fsync=True),
                folder=data,
                log=(logs or folder) / "postgres.log",
                stop_signal=signal.SIGQUIT,
                user=places.postgres_user(),
            )

        def is_ready(port: int) -> bool:
            # postmaster.pid outlives a killed server, so only an answer counts.
            ask = [str(binaries.folder / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
            return subprocess.run(ask, check=False).returncode == 0

        with ending(PostgresNode(order, is_ready, password)) as node:
            yield node
