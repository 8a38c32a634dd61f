"""Two sessions whose steps a test commands, and the gatekeeper that commands them.

What a session does is read from Postgres: it stands at a gate, or it waits for a lock of the other
one, or it has answered. Nothing here waits for time to pass.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any

import asyncpg

from guerdon.adapters.postgres.connection import Database, PoolConnection
from guerdon.adapters.postgres.errors import translated
from tests.isolation.stepped import GATES_MAX

SETTLED_SECONDS_MAX = 30.0
SITTING_QUERY = """
    select a.pid,
      (select l.objid::integer from pg_locks l
       where l.pid = a.pid and l.locktype = 'advisory' and not l.granted) as gate,
      pg_blocking_pids(a.pid) as blockers
    from pg_stat_activity a
    where a.pid = any ($1::integer[]) and a.wait_event_type = 'Lock'
"""


class State(Enum):
    """Where a session is between two commands."""

    NEW = "new"
    AT_GATE = "at a gate"
    BLOCKED = "blocked"
    ANSWERED = "answered"
    ENDED = "ended"


class OneConnection(Database):
    """The adapters' way to Postgres, over one connection whose transaction the test ends."""

    def __init__(self, connection: PoolConnection) -> None:
        self.held = connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[PoolConnection]:
        with translated(sent=True):
            yield self.held

    async def call(self, sql: str, *arguments: Any) -> Any:
        async with self.connection() as connection:
            return await connection.fetchrow(sql, *arguments)


Work = Callable[[OneConnection], Awaitable[str]]


class Session:
    """One call in a transaction of its own. `work` answers how the call went, and never raises."""

    def __init__(self, number: int, connection: PoolConnection) -> None:
        self.number = number
        self.connection = connection
        self.pid: int = connection.get_server_pid()
        self.state = State.NEW
        self.gate = -1
        self.ending = "commit"
        self.task: asyncio.Task[str] | None = None

    @property
    def can_go_on(self) -> bool:
        return self.state not in (State.BLOCKED, State.ENDED)

    def renew(self, ending: str) -> None:
        self.state, self.gate, self.ending, self.task = State.NEW, -1, ending, None

    async def start(self, work: Work) -> None:
        await self.connection.execute("begin")
        self.task = asyncio.ensure_future(work(OneConnection(self.connection)))

    async def end(self) -> None:
        """Commit, or roll back; what failed is rolled back either way."""
        await self.connection.execute(self.ending)
        self.state = State.ENDED

    def answer(self) -> str:
        assert self.task is not None
        return self.task.result()


class Gatekeeper:
    """Holds every gate of both sessions and opens one at a time."""

    def __init__(self, connection: asyncpg.Connection, sessions: Sequence[Session]) -> None:
        self.connection = connection
        self.sessions = sessions

    async def close_gates(self) -> None:
        await self.connection.execute(
            "select pg_advisory_lock(s, g) from unnest($1::integer[]) as s, "
            f"generate_series(0, {GATES_MAX - 1}) as g",
            [session.number for session in self.sessions],
        )

    async def open_gates(self) -> None:
        await self.connection.execute("select pg_advisory_unlock_all()")

    async def step(self, session: Session, work: Work) -> None:
        """Let the session do its next step, and wait until nobody moves any more."""
        match session.state:
            case State.NEW:
                await session.start(work)
            case State.AT_GATE:
                await self.connection.execute(
                    "select pg_advisory_unlock($1, $2)", session.number, session.gate
                )
            case State.ANSWERED:
                await session.end()
            case _:
                raise AssertionError(f"a session that is {session.state.value} makes no step")
        async with asyncio.timeout(SETTLED_SECONDS_MAX):
            await self.settle()

    async def settle(self) -> None:
        """Until each session stands at a gate, waits for the other, or has answered.

        When each waits for the other, until Postgres has found the deadlock and ended one.
        """
        started = [session for session in self.sessions if session.task is not None]
        under_way = [session for session in started if session.state is not State.ENDED]
        while not await self._have_settled(under_way):
            pass

    async def _have_settled(self, sessions: Sequence[Session]) -> bool:
        # Looked at before the others are: what an answer lets go of is then seen as let go.
        answered = [session.task is not None and session.task.done() for session in sessions]
        pids = [session.pid for session in self.sessions]
        rows = await self.connection.fetch(SITTING_QUERY, pids)
        sitting = {row["pid"]: row for row in rows}
        for session, has_answered in zip(sessions, answered, strict=True):
            row = sitting.get(session.pid)
            if has_answered:
                session.state = State.ANSWERED
            elif row is None:
                return False
            elif row["gate"] is not None:
                session.state, session.gate = State.AT_GATE, row["gate"]
            elif set(row["blockers"]) & set(pids):
                session.state = State.BLOCKED
            else:
                return False
        return not sessions or any(session.state is not State.BLOCKED for session in sessions)
