"""LISTEN guerdon_changes on a connection of its own: how a server hears of what others commit."""

import asyncio
from contextlib import suppress
from typing import Any

import asyncpg
import structlog

from guerdon.limits import (
    CHANGES_HEARTBEAT_SECONDS,
    CHANGES_RETRY_SECONDS_MAX,
    CHANGES_RETRY_SECONDS_MIN,
)
from guerdon.ports import Change, ChangeSink

CHANNEL = "guerdon_changes"

log = structlog.get_logger()

_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class ChangeListener:
    """Tells the sinks of every change that is notified, for as long as `run` runs.

    `url` leads past a transaction pooler: LISTEN belongs to a session. Whenever the connection was
    lost, and again once it is back, the sinks forget all that they hold: what was notified in
    between is heard by nobody.
    """

    def __init__(self, url: str, sinks: list[ChangeSink], *, ssl: Any = None) -> None:
        self._url = url
        self._sinks = sinks
        self._ssl = ssl
        self.listening = asyncio.Event()
        """Set while changes are heard."""

    async def run(self) -> None:
        """Listen until cancelled; reconnects with growing pauses."""
        pause = CHANGES_RETRY_SECONDS_MIN
        while True:
            try:
                await self._listen()
            except _LOST as error:
                if self.listening.is_set():
                    pause = CHANGES_RETRY_SECONDS_MIN
                log.warning("changes_not_heard", error=type(error).__name__, retry_seconds=pause)
            finally:
                self.listening.clear()
                self._forget_all()
            await asyncio.sleep(pause)
            pause = min(pause * 2, CHANGES_RETRY_SECONDS_MAX)

    async def _listen(self) -> None:
        """Hear changes until the connection is lost, and raise how."""
        connection = await asyncpg.connect(
            self._url, timeout=CHANGES_HEARTBEAT_SECONDS, ssl=self._ssl
        )
        try:
            lost = asyncio.Event()
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(CHANNEL, self._heard)
            self._forget_all()
            self.listening.set()
            while True:
                # A connection that died silently shows it only when something is sent.
                await connection.execute("select 1", timeout=CHANGES_HEARTBEAT_SECONDS)
                with suppress(TimeoutError):
                    await asyncio.wait_for(lost.wait(), CHANGES_HEARTBEAT_SECONDS)
        finally:
            connection.terminate()

    def _heard(self, _connection: Any, _process: int, _channel: str, payload: Any) -> None:
        change = Change.parse(str(payload))
        for sink in self._sinks:
            if change is not None:
                sink.apply(change)

    def _forget_all(self) -> None:
        for sink in self._sinks:
            sink.forget_all()
