"""The one place that knows SQLSTATEs and constraint names: driver errors to errors of ours.

25006 (read only), 57P0x (shut down) and 08xxx (connection) tell that the server we speak to cannot
write any more; the connection that met one is closed, so a failed-over pool empties itself.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from guerdon.domain.errors import (
    Conflict,
    Defect,
    DependencyUnavailable,
    GuerdonError,
    OutcomeUnknown,
)
from guerdon.ports import LocksTimedOut

GRANTS_COLLIDED = "GD001"
"""Raised by redeem_v1: another transaction committed a request id first. Send the batch again."""

OFFER_CODES = "offers_live_code"
OFFER_IDS = "offers_pkey"
_NAMES = (OFFER_CODES, OFFER_IDS)
_RETRYABLE = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)
_NOT_WRITABLE = (
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.DiskFullError,
    asyncpg.OutOfMemoryError,
    asyncpg.CannotConnectNowError,
)
_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    # What the driver says of a connection whose server is just telling it that it goes away.
    asyncpg.InternalClientError,
    ConnectionError,
    OSError,
    TimeoutError,
    asyncio.TimeoutError,
)


class NameTaken(Exception):
    """A row of the name that was to be written exists, by the unique constraint that says so. Only
    who wrote it knows which error of the domain that is."""

    def __init__(self, constraint: str) -> None:
        super().__init__(constraint)
        self.constraint = constraint


@contextmanager
def translated(*, sent: bool) -> Iterator[None]:
    """Turn driver errors into ours. `sent` tells whether a statement may have reached the server:
    a connection lost after that leaves the outcome unknown."""
    try:
        yield
    except asyncpg.PostgresError as error:
        raise _from_server(error, sent=sent) from error
    except asyncpg.DataError as error:
        # An argument that the driver cannot encode: it never left the process.
        raise Defect("argument") from error
    except _LOST as error:
        raise _lost(sent=sent) from error


def _from_server(error: asyncpg.PostgresError, *, sent: bool) -> Exception:
    if isinstance(error, asyncpg.LockNotAvailableError):
        return LocksTimedOut()
    if isinstance(error, _RETRYABLE) or error.sqlstate == GRANTS_COLLIDED:
        return Conflict()
    if isinstance(error, _NOT_WRITABLE):
        return DependencyUnavailable()
    if isinstance(error, _LOST):
        return _lost(sent=sent)
    if isinstance(error, asyncpg.QueryCanceledError):
        return DependencyUnavailable()
    constraint = getattr(error, "constraint_name", None)
    return NameTaken(constraint) if constraint in _NAMES else Defect(f"{error.sqlstate}")


def _lost(*, sent: bool) -> GuerdonError:
    return OutcomeUnknown() if sent else DependencyUnavailable()
