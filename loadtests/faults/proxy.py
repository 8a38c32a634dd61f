"""The proxy's process: `python -m loadtests.faults.proxy LOG`; links.py starts and orders it.

It reads one JSON order a line from standard input, answers each with one line, and ends at the end
of its input. It is its own process so that it never waits for the lab's clients.

Bytes pass as they come: nothing is parsed. What waits here is bounded (HELD_BYTES_MAX for each
direction of a connection, and as much again for the socket it goes to); then the sender is read no
more, and TCP makes it wait. Toxiproxy could do most of this, but not break one end of a connection,
hold bytes and let them go late, or reset only what lost some; and it would want a Go build.
"""

import asyncio
import contextlib
import sys
import time
from pathlib import Path
from typing import IO

import msgspec
import uvloop

from loadtests.faults.connection import Connection
from loadtests.faults.links import (
    Add,
    Count,
    Direction,
    Done,
    Fault,
    Heal,
    LinkCounts,
    Order,
    Refuse,
    Reset,
    Switch,
)

HOST = "127.0.0.1"
# Seconds to connect upstream: a frozen server's own queue of connections takes many at once.
CONNECT_SECONDS_MAX = 10.0
# Connections that may wait to be accepted: a crowd of clients comes back at once after a fault.
BACKLOG = 1024


class OpenLink:
    """One listening port, its upstream, its faults and its connections."""

    def __init__(self, port: int, upstream_port: int) -> None:
        self._port = port
        self._upstream_port = upstream_port
        self._listener: asyncio.Server | None = None
        self._faults: dict[Direction, Fault | None] = dict.fromkeys(Direction)
        self._connections: set[Connection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._accepted = 0
        self._failed = 0
        self._passed = dict.fromkeys(Direction, 0)

    async def listen(self) -> None:
        """Take connections, if it does not yet."""
        if self._listener is None:
            loop = asyncio.get_running_loop()
            self._listener = await loop.create_server(
                self._accept, HOST, self._port, backlog=BACKLOG, reuse_address=True
            )

    def refuse(self) -> None:
        """Take no further ones."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def inject(self, fault: Fault) -> None:
        """Into this direction of every connection, present and future."""
        self._faults[fault.direction] = fault
        for connection in self._connections:
            connection.pipes[fault.direction].set_fault(fault)

    def reset(self, direction: Direction | None) -> None:
        for connection in list(self._connections):
            connection.reset(direction)

    def switch(self, upstream_port: int, *, reset: bool) -> None:
        self._upstream_port = upstream_port
        if reset:
            self.reset(None)

    async def heal(self) -> None:
        self._faults = dict.fromkeys(Direction)
        for connection in list(self._connections):
            connection.heal()
        await self.listen()

    def counts(self) -> LinkCounts:
        passed = dict(self._passed)
        for connection in self._connections:
            for direction, pipe in connection.pipes.items():
                passed[direction] += pipe.bytes_passed
        return LinkCounts(
            connections=self._accepted,
            failed=self._failed,
            bytes_upstream=passed[Direction.UPSTREAM],
            bytes_downstream=passed[Direction.DOWNSTREAM],
        )

    def _accept(self) -> asyncio.Protocol:
        self._accepted += 1
        connection = Connection(self._forget)
        self._connections.add(connection)
        for direction, fault in self._faults.items():
            connection.pipes[direction].set_fault(fault)
        connecting = asyncio.create_task(self._connect(connection))
        self._connecting.add(connecting)
        connecting.add_done_callback(self._connecting.discard)
        return connection.caller

    async def _connect(self, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                await loop.create_connection(lambda: connection.server, HOST, self._upstream_port)
        except OSError:  # Of which TimeoutError is one.
            self._failed += 1
            connection.reset(None)

    def _forget(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            for direction, pipe in connection.pipes.items():
                self._passed[direction] += pipe.bytes_passed


class Switchboard:
    """All links, by name."""

    def __init__(self, log: IO[str]) -> None:
        self._log = log
        self._links: dict[str, OpenLink] = {}

    async def obey(self, order: Order) -> Done:
        if not isinstance(order, Count):
            told = msgspec.to_builtins(order)
            self._log.write(msgspec.json.encode({"at": time.monotonic(), **told}).decode() + "\n")
        try:
            return await self._obey(order)
        except (OSError, KeyError) as error:
            return Done(problem=f"{order}: {error!r}")

    async def _obey(self, order: Order) -> Done:
        if isinstance(order, Add):
            link = self._links[order.link] = OpenLink(order.port, order.upstream_port)
            await link.listen()
            return Done()
        link = self._links[order.link]
        match order:
            case Reset():
                link.reset(order.direction)
            case Refuse():
                link.refuse()
            case Switch():
                link.switch(order.upstream_port, reset=order.reset)
            case Heal():
                await link.heal()
            case Count():
                return Done(link.counts())
            case fault:
                link.inject(fault)
        return Done()


async def main(log: Path) -> None:
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    with log.open("a", buffering=1) as stream:
        switchboard = Switchboard(stream)
        while line := await orders.readline():
            done = await switchboard.obey(msgspec.json.decode(line, type=Order))
            sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        uvloop.run(main(Path(sys.argv[1])))
