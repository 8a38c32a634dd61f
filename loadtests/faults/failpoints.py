"""The lab's hand on the servers' failpoints, which src/guerdon/serving/failpoints.py explains.

A server is given FAILPOINTS_VARIABLE with a folder. `arm` a point there, and `reached_by` tells the
process that came to it. K3 needs more: a redeem_v1 that waits before it returns for as long as
somebody is `holding_redeems` on the same database; `install_waiting_redeem` puts it there.
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg

from guerdon.adapters.postgres.migration_files import default_folder
from guerdon.serving.failpoints import Failpoint, Order

FAILPOINTS_VARIABLE = "GUERDON_FAILPOINTS"
REDEEM_FILE = "redeem_v1.sql"
# Any number that nothing else locks by.
WAITING_LOCK = 4207003
END = "\nend\n$$;"
# The function's own lock timeout is for rows; its session's statement_timeout still bounds this.
WAIT = f"""
  perform set_config('lock_timeout', '0', true);
  perform pg_advisory_xact_lock_shared({WAITING_LOCK});"""


def arm(folder: Path, point: Failpoint, order: Order) -> None:
    """The next process that reaches the point does as it is told; a former order is replaced."""
    written = folder / f"{point}.order"
    written.write_text(order)
    written.rename(folder / point)


def disarm(folder: Path, point: Failpoint) -> bool:
    """Whether the order was still there, that is nobody has reached the point."""
    with contextlib.suppress(FileNotFoundError):
        (folder / point).unlink()
        return True
    return False


def reached_by(folder: Path, point: Failpoint) -> int | None:
    """The process that reached the point since this was asked last; None while none has."""
    for taken in folder.glob(f"{point}.[0-9]*"):
        taken.unlink()
        return int(taken.suffix.removeprefix("."))
    return None


async def install_waiting_redeem(owner: asyncpg.Connection, migrations: Path | None = None) -> None:
    """Servers go on as before, since the function's signature and the migrations' books stay.
    `migrations` is the folder of a test build's."""
    text = redeem_source(migrations)
    head, found, tail = text.rpartition(END)
    assert found, f"{REDEEM_FILE} does not end as this expects"
    await owner.execute(f"{head}{WAIT}{END}{tail}")


async def restore_redeem(owner: asyncpg.Connection, migrations: Path | None = None) -> None:
    """The function as the migrations have it."""
    await owner.execute(redeem_source(migrations))


def redeem_source(migrations: Path | None) -> str:
    return ((migrations or default_folder()) / "functions" / REDEEM_FILE).read_text()


@contextlib.asynccontextmanager
async def holding_redeems(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Every redeem_v1 that has decided and written waits until the block ends, locks held."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.fetchval("select pg_advisory_lock($1)", WAITING_LOCK)
        yield connection
    finally:
        await connection.close()
