"""Links that can be broken: each is one TCP port of a proxy, which runs in a process of its own.

`async with open_proxy(log) as proxy` starts the process; `await proxy.add_link(name, port)` opens a
link. See proxy.py for what each fault does to the bytes. The process ends with this one, however
this one ends, and every link with it.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

import msgspec

from loadtests import ROOT
from loadtests.faults.node import steady_port

# Seconds in which the proxy must obey: it does so at once unless the machine is overloaded.
ORDER_SECONDS_MAX = 20.0


class Direction(StrEnum):
    """Which way the bytes go."""

    UPSTREAM = "upstream"
    """From the side that connected to the server behind the link: requests."""
    DOWNSTREAM = "downstream"
    """From the server behind the link to the side that connected: answers."""


class Add(msgspec.Struct, frozen=True, tag="add"):
    """Open a link that listens on `port`."""

    link: str
    port: int
    upstream_port: int


class Delay(msgspec.Struct, frozen=True, tag="delay"):
    """See Link.delay."""

    link: str
    direction: Direction
    seconds: float
    jitter_seconds: float


class Hold(msgspec.Struct, frozen=True, tag="hold"):
    """See Link.hold."""

    link: str
    direction: Direction


class BlackHole(msgspec.Struct, frozen=True, tag="black_hole"):
    """See Link.black_hole."""

    link: str
    direction: Direction


class Cut(msgspec.Struct, frozen=True, tag="cut"):
    """See Link.cut_after."""

    link: str
    direction: Direction
    byte_count: int


class Reset(msgspec.Struct, frozen=True, tag="reset"):
    """See Link.reset."""

    link: str
    direction: Direction | None


class Refuse(msgspec.Struct, frozen=True, tag="refuse"):
    """See Link.refuse."""

    link: str


class Switch(msgspec.Struct, frozen=True, tag="switch"):
    """See Link.switch."""

    link: str
    upstream_port: int
    reset: bool


class Heal(msgspec.Struct, frozen=True, tag="heal"):
    """See Link.heal."""

    link: str


class Count(msgspec.Struct, frozen=True, tag="count"):
    """See Link.counts."""

    link: str


Fault: TypeAlias = Delay | Hold | BlackHole | Cut
Order: TypeAlias = Add | Fault | Reset | Refuse | Switch | Heal | Count


class LinkCounts(msgspec.Struct, frozen=True):
    """What a link has done since it was opened; bytes are those that left the proxy.

    `failed` counts connections that were accepted although nobody listened upstream.
    """

    connections: int = 0
    failed: int = 0
    bytes_upstream: int = 0
    bytes_downstream: int = 0


class Done(msgspec.Struct, frozen=True):
    """The proxy's answer to an order."""

    counts: LinkCounts = LinkCounts()
    problem: str = ""


class ProxyError(Exception):
    """The proxy could not obey, or is gone; the text says why."""


class Proxy:
    """A proxy's process and its links."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.log = log
        self._process = process
        self._lock = asyncio.Lock()

    @property
    def pid(self) -> int:
        """Of its process, for who measures its CPU."""
        return self._process.pid

    async def add_link(self, name: str, upstream_port: int) -> "Link":
        """Listens at once, whether or not anything does upstream: a connection whose upstream
        refuses is reset."""
        link = Link(self, name, steady_port())
        await self.order(Add(name, link.port, upstream_port))
        return link

    async def order(self, order: Order) -> LinkCounts:
        """Returns when it is done. Raises ProxyError."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        async with self._lock, asyncio.timeout(ORDER_SECONDS_MAX):
            stdin.write(msgspec.json.encode(order) + b"\n")
            line = await stdout.readline()
        if not line:
            raise ProxyError(f"the proxy is gone; see {self.log}")
        done = msgspec.json.decode(line, type=Done)
        if done.problem:
            raise ProxyError(done.problem)
        return done.counts


class Link:
    """One way to one server. `port` on 127.0.0.1 stays, whatever is done to the link.

    Faults of one direction replace each other; both directions, and `refuse`, are independent.
    Each call returns when the proxy does what it was told; it raises ProxyError.
    """

    def __init__(self, proxy: Proxy, name: str, port: int) -> None:
        self._proxy = proxy
        self.name = name
        self.port = port

    async def delay(self, direction: Direction, seconds: float, jitter_seconds: float = 0) -> None:
        """Each piece of data arrives later by `seconds` and up to `jitter_seconds` more, in order.
        Connections of this moment and later ones."""
        await self._proxy.order(Delay(self.name, direction, seconds, jitter_seconds))

    async def hold(self, direction: Direction) -> None:
        """Nothing arrives until the link is healed; then all of it does, late: a partition as TCP
        sees it, which sends again what it could not deliver."""
        await self._proxy.order(Hold(self.name, direction))

    async def black_hole(self, direction: Direction) -> None:
        """What is sent is taken and lost. A connection that lost something cannot go on: it is
        reset when the link is healed."""
        await self._proxy.order(BlackHole(self.name, direction))

    async def cut_after(self, direction: Direction, byte_count: int) -> None:
        """Each connection, of this moment or later, lets so many further bytes through; then both
        its ends see it closed."""
        await self._proxy.order(Cut(self.name, direction, byte_count))

    async def reset(self, direction: Direction | None = None) -> None:
        """Now, once: of present connections the receiver of `direction` sees ECONNRESET, and the
        other end hears nothing until it sends something or the link is healed; then it sees the
        same. Without a direction both see it at once."""
        await self._proxy.order(Reset(self.name, direction))

    async def refuse(self) -> None:
        """New connections are refused (ECONNREFUSED); present ones go on."""
        await self._proxy.order(Refuse(self.name))

    async def switch(self, port: int, *, reset: bool = True) -> None:
        """New connections lead to this port on 127.0.0.1; present ones are reset unless told."""
        await self._proxy.order(Switch(self.name, port, reset))

    async def heal(self) -> None:
        """Every fault is over. What was held or delayed arrives; spoiled connections are reset."""
        await self._proxy.order(Heal(self.name))

    async def counts(self) -> LinkCounts:
        """For who wants to know that something went through."""
        return await self._proxy.order(Count(self.name))


@contextlib.asynccontextmanager
async def open_proxy(log: Path) -> AsyncIterator[Proxy]:
    """`log` gets a JSON line for each order: monotonic seconds (`at`) and the order itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "loadtests.faults.proxy",
        str(log),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # Ctrl-C in a terminal is its owner's affair.
        start_new_session=True,
    )
    try:
        yield Proxy(process, log)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
