"""One connection through the proxy: two sockets, and a pipe for each direction between them.

A pipe passes data, and the end of data, from one socket to the other. A fault changes what it does
with what comes from now on; what waits in it already stays in order.
"""

import asyncio
import random
import socket
import struct
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import cast

from loadtests.faults.links import BlackHole, Cut, Delay, Direction, Fault, Hold

# Bytes that wait in one direction of one connection before its sender is read no more: some full
# windows of HTTP/2, so that a delay alone does not throttle a client.
HELD_BYTES_MAX = 1 << 20
# SO_LINGER on and zero: the system then ends a connection by a reset.
NO_LINGER = struct.pack("ii", 1, 0)


class Ending(Enum):
    """What comes last through a pipe."""

    END = auto()
    """The source sends no more; it may still read."""
    RESET = auto()
    """The source reset its connection."""
    CLOSE = auto()
    """The cut."""


Item = bytes | Ending


class Pipe:
    """One direction of one connection, from the socket `source` to the socket `target`."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._fault: Fault | None = None
        self._waiting: deque[tuple[float, Item]] = deque()
        self._bytes_waiting = 0
        self._bytes_left = 0
        self._timer: asyncio.TimerHandle | None = None
        self.source: End
        self.target: End
        self.lost_something = False
        self.bytes_passed = 0

    def set_fault(self, fault: Fault | None) -> None:
        """From now on; without one, what waits goes on at once."""
        self._fault = fault
        if isinstance(fault, Cut):
            self._bytes_left = fault.byte_count
        self.release()

    def release(self) -> None:
        """Pass what need not wait any more."""
        if not isinstance(self._fault, Hold):
            self._flush(everything=self._fault is None)

    def feed(self, item: Item) -> None:
        """Data of the source, or its ending."""
        if self._fault is None and not self._waiting and self.target.was_opened:
            self._pass(item)
            return
        match self._fault:
            case BlackHole():
                self.lost_something = True
            case Cut() if isinstance(item, bytes):
                self._wait(0.0, item[: self._bytes_left])
                self._bytes_left -= min(self._bytes_left, len(item))
                if not self._bytes_left:
                    self._wait(0.0, Ending.CLOSE)
            case Delay(seconds=seconds, jitter_seconds=jitter):
                now = asyncio.get_running_loop().time()
                self._wait(now + seconds + jitter * random.random(), item)
            case _:
                self._wait(0.0, item)
        self.release()
        self.regulate()

    def regulate(self) -> None:
        """Read the source only while there is room for what it sends."""
        full = self._bytes_waiting > HELD_BYTES_MAX or self.target.is_full
        self.source.set_reading(not full)

    def clear(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self._bytes_waiting = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, due: float, item: Item) -> None:
        self._waiting.append((due, item))
        self._bytes_waiting += len(item) if isinstance(item, bytes) else 0

    def _flush(self, *, everything: bool) -> None:
        """Pass what is due; nothing passes before what came earlier."""
        if not self.target.was_opened:
            return
        now = asyncio.get_running_loop().time()
        while self._waiting and (everything or self._waiting[0][0] <= now):
            _, item = self._waiting.popleft()
            self._bytes_waiting -= len(item) if isinstance(item, bytes) else 0
            self._pass(item)
        if self._waiting and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._waiting[0][0], self._ring)
        self.regulate()

    def _ring(self) -> None:
        self._timer = None
        self.release()

    def _pass(self, item: Item) -> None:
        match item:
            case Ending.END:
                self.target.finish()
            case Ending.RESET:
                self.target.reset()
            case Ending.CLOSE:
                self._connection.close()
            case data:
                self.bytes_passed += len(data)
                self.target.write(data)


class End(asyncio.Protocol):
    """One of the two sockets. `incoming` takes what it sends, `outgoing` fills what it gets."""

    def __init__(self, connection: "Connection", incoming: Pipe, outgoing: Pipe) -> None:
        self._connection = connection
        self._incoming = incoming
        self._outgoing = outgoing
        self._transport: asyncio.Transport | None = None
        self._is_reading = True
        # What comes for an end that is not there yet has to wait.
        self.was_opened = False
        self.is_full = True
        self.is_finished = False
        incoming.source = outgoing.target = self

    @property
    def is_open(self) -> bool:
        """Whether it may still get something."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(HELD_BYTES_MAX)
        self.was_opened = True
        self.is_full = False
        self._incoming.regulate()
        self._outgoing.release()
        self._outgoing.regulate()
        self._connection.opened(self)

    def data_received(self, data: bytes) -> None:
        """Into the pipe, unless the other end is known to be gone: then as a system answers."""
        # uvloop forgets to pause what is not read yet.
        self._is_reading = True
        if self._connection.is_half_open:
            self.reset()
        else:
            self._incoming.feed(data)

    def eof_received(self) -> bool:
        """It may still read: True keeps it open."""
        self._incoming.feed(Ending.END)
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """Without an error it was closed from here."""
        self._transport = None
        self.is_full = False
        if error is not None:
            self._incoming.feed(Ending.RESET)
        self._outgoing.clear()
        self._outgoing.regulate()
        self._connection.lost()

    def pause_writing(self) -> None:
        """It takes less than comes."""
        self.is_full = True
        self._outgoing.regulate()

    def resume_writing(self) -> None:
        """There is room again."""
        self.is_full = False
        self._outgoing.regulate()

    def set_reading(self, value: bool) -> None:
        """Whether to read what it sends."""
        if self._transport is not None and self.is_open and value != self._is_reading:
            self._is_reading = value
            if value:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def write(self, data: bytes) -> None:
        """Lost if it is gone."""
        if self._transport is not None and self.is_open:
            self._transport.write(data)

    def finish(self) -> None:
        """The other end sends no more."""
        if self._transport is not None and self.is_open and not self.is_finished:
            self.is_finished = True
            self._transport.write_eof()
            self._connection.finished()

    def close(self) -> None:
        """In order, with all that was written."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """At once, by RST."""
        if self._transport is not None and self.is_open:
            connected: socket.socket = self._transport.get_extra_info("socket")
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            self._transport.abort()


class Connection:
    """Both ends and both pipes. `when_gone` is called when neither end is left."""

    def __init__(self, when_gone: "Callable[[Connection], None]") -> None:
        self._when_gone = when_gone
        self._is_dead = False
        self._reset_end: End | None = None
        upstream, downstream = Pipe(self), Pipe(self)
        self.pipes = {Direction.UPSTREAM: upstream, Direction.DOWNSTREAM: downstream}
        self.caller = End(self, incoming=upstream, outgoing=downstream)
        self.server = End(self, incoming=downstream, outgoing=upstream)

    @property
    def is_half_open(self) -> bool:
        """Whether one end was reset and the other does not know."""
        return self._reset_end is not None

    def opened(self, end: End) -> None:
        """An end that was reset while it was made is reset now."""
        if self._is_dead or end is self._reset_end:
            end.reset()

    def finished(self) -> None:
        """Neither end sends any more."""
        if self.caller.is_finished and self.server.is_finished:
            self.close()

    def lost(self) -> None:
        """An end is gone; what it sent may still be on its way to the other."""
        if not self.caller.is_open and not self.server.is_open:
            self._is_dead = True
            self._when_gone(self)

    def close(self) -> None:
        """Both ends see the end of data after what was passed to them."""
        self._is_dead = True
        self.caller.close()
        self.server.close()

    def reset(self, direction: Direction | None) -> None:
        """See Link.reset."""
        if direction is not None:
            self._reset_end = self.pipes[direction].target
            self._reset_end.reset()
            return
        self._is_dead = True
        self.caller.reset()
        self.server.reset()

    def heal(self) -> None:
        """See Link.heal."""
        spoiled = self.is_half_open or any(pipe.lost_something for pipe in self.pipes.values())
        if spoiled:
            self.reset(None)
        else:
            for pipe in self.pipes.values():
                pipe.set_fault(None)
