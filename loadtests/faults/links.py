"""Links that can be broken: each is one TCP port of a proxy, which runs in a process of its own.

`async with open_proxy(log) as proxy` starts the process; `await proxy.add_link(name, port)` opens a
link. See proxy.py for what each fault does to the bytes. The process ends with this one, however
this one ends, and every link with it.
"""

import contextlib
from collections.abc import AsyncIterator
from enum import StrEnum
from pathlib import Path

import msgspec


class Direction(StrEnum):
    """Which way the bytes go."""

    UPSTREAM = "upstream"
    """From the side that connected to the server behind the link: requests."""
    DOWNSTREAM = "downstream"
    """From the server behind the link to the side that connected: answers."""


class LinkCounts(msgspec.Struct, frozen=True):
    """What a link has done since it was opened; bytes are those that left the proxy."""

    connections: int
    open_connections: int
    refused: int
    bytes_upstream: int
    bytes_downstream: int


class Link:
    """One way to one server. `port` on 127.0.0.1 stays, whatever is done to the link.

    Faults of one direction replace each other; both directions, and `refuse`, are independent.
    Each call returns when the proxy does what it was told.
    """

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port

    async def delay(self, direction: Direction, seconds: float, jitter_seconds: float = 0) -> None:
        """Each piece of data arrives later by `seconds` and up to `jitter_seconds` more, in order.
        Connections of this moment and later ones."""
        raise NotImplementedError

    async def hold(self, direction: Direction) -> None:
        """Nothing arrives until the link is healed; then all of it does, late: a partition as TCP
        sees it, which sends again what it could not deliver."""
        raise NotImplementedError

    async def black_hole(self, direction: Direction) -> None:
        """What is sent is taken and lost. A connection that lost something cannot go on: it is
        reset when the link is healed."""
        raise NotImplementedError

    async def cut_after(self, direction: Direction, byte_count: int) -> None:
        """Each connection, of this moment or later, lets so many further bytes through; then both
        its ends see it closed."""
        raise NotImplementedError

    async def reset(self, direction: Direction | None = None) -> None:
        """Now, once: present connections are reset, the receiver of `direction` sees ECONNRESET.
        Both do without a direction; with one, the other end hears nothing more until it writes
        in vain or the link is healed."""
        raise NotImplementedError

    async def refuse(self) -> None:
        """New connections are refused (ECONNREFUSED); present ones go on."""
        raise NotImplementedError

    async def switch(self, port: int, *, reset: bool = True) -> None:
        """New connections lead to this port on 127.0.0.1; present ones are reset unless told."""
        raise NotImplementedError

    async def heal(self) -> None:
        """Every fault is over. What was held or delayed arrives; spoiled connections are reset."""
        raise NotImplementedError

    async def counts(self) -> LinkCounts:
        raise NotImplementedError


class Proxy:
    """A proxy's process and its links."""

    async def add_link(self, name: str, upstream_port: int) -> Link:
        """Listens at once, whether or not anything does upstream: a connection whose upstream
        refuses is reset."""
        raise NotImplementedError


@contextlib.asynccontextmanager
async def open_proxy(log: Path) -> AsyncIterator[Proxy]:
    """`log` gets a JSON line for each fault: monotonic seconds, link, fault, its arguments."""
    raise NotImplementedError
    yield
