"""Each fault of a link does to real sockets what it says, in its direction only."""

import asyncio
import contextlib
import hashlib
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from loadtests.faults.links import Direction, Link, Proxy, ProxyError, open_proxy
from loadtests.faults.node import steady_port

UP, DOWN = Direction.UPSTREAM, Direction.DOWNSTREAM
# Seconds within which whatever is meant to arrive arrives.
PATIENCE_SECONDS = 20.0
# Seconds for which something that is meant not to arrive is waited for.
VAIN_SECONDS = 0.1
# Bytes that may lie between a sender and a receiver that reads nothing: the proxy's own bound, and
# what the system keeps for four sockets.
ON_THE_WAY_BYTES_MAX = 32 << 20


class Peer:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.writer.drain()

    async def receive(self, size: int) -> bytes:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.reader.readexactly(size)

    async def rest(self) -> bytes:
        """All until the end of data."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.reader.read()

    async def hears_nothing(self) -> bool:
        try:
            async with asyncio.timeout(VAIN_SECONDS):
                await self.reader.read(1)
        except TimeoutError:
            return True
        return False

    async def sees_reset(self) -> bool:
        try:
            await self.rest()
        except ConnectionResetError:
            return True
        return False


class Server:
    """Hands out the connections it gets."""

    def __init__(self) -> None:
        self._accepted: asyncio.Queue[Peer] = asyncio.Queue()
        self._peers: list[Peer] = []
        self.port = 0

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Server"]:
        listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = listener.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            listener.close()
            for peer in self._peers:
                peer.writer.close()

    async def accepted(self) -> Peer:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._accepted.get()

    async def connect(self, link: Link) -> tuple[Peer, Peer]:
        """A connection through the link: the caller's end and the server's."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            caller = Peer(*await asyncio.open_connection("127.0.0.1", link.port))
        self._peers.append(caller)
        return caller, await self.accepted()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self._peers.append(peer)
        self._accepted.put_nowait(peer)


@pytest.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[Proxy]:
    async with open_proxy(tmp_path / "proxy.log") as opened:
        yield opened


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server().listening() as listening:
        yield listening


@pytest.fixture
async def link(proxy: Proxy, server: Server) -> Link:
    return await proxy.add_link("link", server.port)


async def test_everything_passes_both_ways_and_ends_when_it_ends(
    link: Link, server: Server
) -> None:
    caller, served = await server.connect(link)
    data = os.urandom(8 << 20)
    for sender, receiver in ((caller, served), (served, caller)):
        sending = asyncio.create_task(sender.send(data))
        assert hashlib.sha256(await receiver.receive(len(data))).digest() == (
            hashlib.sha256(data).digest()
        )
        await sending
        sender.writer.write_eof()
        assert await receiver.rest() == b""
    counts = await link.counts()
    assert (counts.bytes_upstream, counts.bytes_downstream) == (len(data), len(data))


@pytest.mark.parametrize("byte_count", [0, 7, 100_000])
@pytest.mark.parametrize("direction", Direction)
async def test_a_cut_lets_exactly_so_many_bytes_through(
    link: Link, server: Server, direction: Direction, byte_count: int
) -> None:
    caller, served = await server.connect(link)
    await link.cut_after(direction, byte_count)
    for present in (True, False):
        if not present:
            caller, served = await server.connect(link)
        sender, receiver = (caller, served) if direction is UP else (served, caller)
        await receiver.send(b"the other direction")
        assert await sender.receive(19) == b"the other direction"
        data = os.urandom(byte_count + 1)
        await sender.send(data)
        assert await receiver.rest() == data[:byte_count]
    await link.heal()
    caller, served = await server.connect(link)
    await caller.send(data)
    assert await served.receive(len(data)) == data


@pytest.mark.parametrize("direction", Direction)
async def test_a_delay_is_that_of_its_direction(
    link: Link, server: Server, direction: Direction
) -> None:
    caller, served = await server.connect(link)
    await link.delay(direction, 0.15, 0.01)
    sender, receiver = (caller, served) if direction is UP else (served, caller)
    started = time.monotonic()
    await sender.send(b"one")
    await receiver.send(b"two")
    waiting = asyncio.create_task(receiver.receive(6))
    # The other direction is not slowed: it is heard while the slow one is still awaited.
    assert await sender.receive(3) == b"two"
    assert not waiting.done()
    await sender.send(b"end")
    assert await waiting == b"oneend"
    assert time.monotonic() - started >= 0.15


@pytest.mark.parametrize("direction", Direction)
async def test_a_partition_holds_one_direction_and_delivers_late(
    link: Link, server: Server, direction: Direction
) -> None:
    caller, served = await server.connect(link)
    await link.hold(direction)
    sender, receiver = (caller, served) if direction is UP else (served, caller)
    await sender.send(b"late")
    await receiver.send(b"back")
    assert await sender.receive(4) == b"back"
    assert await receiver.hears_nothing()
    await link.heal()
    assert await receiver.receive(4) == b"late"


@pytest.mark.parametrize("direction", Direction)
async def test_a_black_hole_swallows_and_spoils(
    link: Link, server: Server, direction: Direction
) -> None:
    caller, served = await server.connect(link)
    await link.black_hole(direction)
    sender, receiver = (caller, served) if direction is UP else (served, caller)
    # More than could wait anywhere: it is taken.
    await sender.send(bytes(2 * ON_THE_WAY_BYTES_MAX))
    await receiver.send(b"back")
    assert await sender.receive(4) == b"back"
    assert await receiver.hears_nothing()
    await link.heal()
    assert await sender.sees_reset()
    assert await receiver.sees_reset()


async def test_a_black_hole_that_swallowed_nothing_spoils_nothing(
    link: Link, server: Server
) -> None:
    caller, served = await server.connect(link)
    await link.black_hole(UP)
    await link.heal()
    await caller.send(b"whole")
    assert await served.receive(5) == b"whole"


async def test_a_reset_is_seen_at_both_ends(link: Link, server: Server) -> None:
    caller, served = await server.connect(link)
    await link.reset()
    assert await caller.sees_reset()
    assert await served.sees_reset()


@pytest.mark.parametrize("direction", Direction)
async def test_a_reset_of_one_direction_leaves_the_other_end_in_the_dark(
    link: Link, server: Server, direction: Direction
) -> None:
    caller, served = await server.connect(link)
    await link.reset(direction)
    sender, receiver = (caller, served) if direction is UP else (served, caller)
    assert await receiver.sees_reset()
    assert await sender.hears_nothing()
    await sender.send(b"into the dark")
    assert await sender.sees_reset()


async def test_new_connections_are_refused_and_present_ones_go_on(
    link: Link, server: Server
) -> None:
    caller, served = await server.connect(link)
    await link.refuse()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", link.port)
    await caller.send(b"still")
    assert await served.receive(5) == b"still"
    await link.heal()
    await server.connect(link)


async def test_a_link_can_lead_elsewhere(link: Link, server: Server) -> None:
    async with Server().listening() as other:
        caller, _ = await server.connect(link)
        await link.switch(other.port)
        assert await caller.sees_reset()
        caller, served = await other.connect(link)
        await link.switch(server.port, reset=False)
        await caller.send(b"still")
        assert await served.receive(5) == b"still"
        await server.connect(link)


async def test_who_sends_more_than_may_wait_has_to_wait(link: Link, server: Server) -> None:
    caller, served = await server.connect(link)
    await link.hold(UP)
    size = 2 * ON_THE_WAY_BYTES_MAX
    caller.writer.write(bytes(size))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(VAIN_SECONDS):
            await caller.writer.drain()
    transport = caller.writer.transport
    assert isinstance(transport, asyncio.WriteTransport)
    assert transport.get_write_buffer_size() > size - ON_THE_WAY_BYTES_MAX
    await link.heal()
    assert await served.receive(size) == bytes(size)


async def test_what_nobody_takes_upstream_is_reset(proxy: Proxy) -> None:
    link = await proxy.add_link("nowhere", steady_port())
    caller = Peer(*await asyncio.open_connection("127.0.0.1", link.port))
    assert await caller.sees_reset()
    assert (await link.counts()).failed == 1
    caller.writer.close()


async def test_every_fault_is_in_the_log_with_its_moment(proxy: Proxy, link: Link) -> None:
    before = time.monotonic()
    await link.delay(DOWN, 0.5)
    lines = [json.loads(line) for line in proxy.log.read_text().splitlines()]
    assert [line["type"] for line in lines] == ["add", "delay"]
    assert lines[1]["direction"] == "downstream"
    assert before <= lines[1]["at"] <= time.monotonic()


async def test_a_link_that_cannot_listen_says_so(proxy: Proxy, link: Link) -> None:
    with pytest.raises(ProxyError, match="nobody"):
        await Link(proxy, "nobody", link.port).heal()
