"""A server process that can be killed, frozen and started again, on the same port and files.

Every node runs under a keeper (guerdon.embedded.keeper), so that it ends with this process, however
this one ends; a frozen one goes on first. All methods block, for bounded time: call them from a
thread (asyncio.to_thread) where an event loop must go on.
"""

import contextlib
import random
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import psutil

from guerdon.embedded.process import (
    EmbeddedServerError,
    ServerOrder,
    start_keeper,
    stop_keeper,
    wait_until_ready,
)

# Seconds in which a killed process must be gone, and a stopped one must stand still.
DEATH_SECONDS_MAX = 10.0
# Seconds for a keeper to start its server's process.
KEEPER_SECONDS_MAX = 20.0
POLL_SECONDS = 0.005
# Below those that systems give to outgoing connections: one of these could take the port of a
# server while it is dead.
PORTS = range(15_000, 30_000)
PORT_TRIES_MAX = 100
# Ends the freeze at the end of its standard input, which also comes when its owner was killed.
THAW = 'read -r _; kill -s CONT "$@"'


class Node:
    """A server under its keeper. `port` outlives every death of it."""

    def __init__(
        self, make_order: Callable[[int], ServerOrder], is_ready: Callable[[int], bool]
    ) -> None:
        """Both take the port. Returns when the server answers; EmbeddedServerError if it won't."""
        self._make_order = make_order
        self._is_ready = is_ready
        self.port = steady_port()
        self.logs: list[Path] = []
        """One for each start, the last one the present one's."""
        self._thaws: list[subprocess.Popen[bytes]] = []
        self._keeper: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def is_running(self) -> bool:
        """Whether its process is there, frozen or not."""
        return bool(self._processes())

    def pids(self) -> list[int]:
        """Its processes, the first of them the parent of the others; none when it is dead."""
        return [process.pid for process in self._processes()]

    def kill(self) -> None:
        """SIGKILL to the server and all its children at once, as a loss of power."""
        family = self._processes()
        for process in family[:1]:
            # It must not notice that a child died and begin to recover, nor make another one.
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
            family = self._processes()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.end()
        wait_until_all(family, is_gone, DEATH_SECONDS_MAX, "is there after it was killed")

    def start(self) -> None:
        """Where it was, with what it had written; returns when it answers."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """The same without waiting for its answer, for what needs others to become ready."""
        # Of a server that died by itself.
        self._dismiss_keeper()
        order = self._make_order(self.port)
        log = order.log.with_stem(f"{order.log.stem}-{len(self.logs) + 1}")
        self._order = replace(order, log=log)
        self.logs.append(log)
        keeper = self._keeper = start_keeper(self._order)
        deadline = time.monotonic() + KEEPER_SECONDS_MAX
        while not self._processes() and keeper.poll() is None:
            if time.monotonic() > deadline:
                self._dismiss_keeper()
                raise EmbeddedServerError(f"{order.name} was not started in time; see {log}")
            time.sleep(POLL_SECONDS)

    def wait_until_ready(self) -> None:
        """After launch. Raises EmbeddedServerError, with the end of its log."""
        assert self._keeper is not None, "launch comes first"
        try:
            wait_until_ready(self._order, self._keeper, partial(self._is_ready, self.port))
        except BaseException:
            self._dismiss_keeper()
            raise

    def freeze(self, pids: Sequence[int] | None = None) -> None:
        """SIGSTOP to these of its processes, or to all. Returns when they stand still."""
        if pids is None:
            # The parent first: it makes no more children then.
            self._stop(self._processes()[:1])
        chosen = [one for one in self._processes() if pids is None or one.pid in pids]
        self._stop(chosen)

    def thaw(self) -> None:
        """SIGCONT to all that are frozen."""
        while self._thaws:
            thaw = self._thaws.pop()
            assert thaw.stdin is not None
            thaw.stdin.close()
            thaw.wait(DEATH_SECONDS_MAX)

    def end(self) -> None:
        """Stop it if it runs."""
        self.thaw()
        self._dismiss_keeper()

    def _dismiss_keeper(self) -> None:
        if self._keeper is not None:
            stop_keeper(self._keeper)
            self._keeper = None

    def _stop(self, processes: Sequence[psutil.Process]) -> None:
        command = ["sh", "-c", THAW, "thaw", *(str(process.pid) for process in processes)]
        self._thaws.append(
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # Ctrl-C in a terminal is its owner's affair.
                start_new_session=True,
            )
        )
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        wait_until_all(processes, stands_still, DEATH_SECONDS_MAX, "does not stop")

    def _processes(self) -> list[psutil.Process]:
        """The server's own first, then its descendants."""
        if self._keeper is None or self._keeper.poll() is not None:
            return []
        try:
            servers = psutil.Process(self._keeper.pid).children()
            return [p for s in servers for p in (s, *s.children(recursive=True)) if not is_gone(p)]
        except psutil.NoSuchProcess:
            return []


N = TypeVar("N", bound=Node)


@contextlib.contextmanager
def ending(node: N) -> Iterator[N]:
    """The node ends with the block."""
    try:
        yield node
    finally:
        node.end()


def steady_port() -> int:
    """A free port of 127.0.0.1 that will still be free when a server comes back to it."""
    for port in random.SystemRandom().sample(PORTS, PORT_TRIES_MAX):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise EmbeddedServerError(f"no free port was found between {PORTS[0]} and {PORTS[-1]}")


def is_gone(process: psutil.Process) -> bool:
    """Dead, whether or not its parent has heard of it."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def stands_still(process: psutil.Process) -> bool:
    """Stopped, or dead."""
    try:
        return is_gone(process) or process.status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return True


def wait_until_all(
    processes: Sequence[psutil.Process],
    holds: Callable[[psutil.Process], bool],
    seconds_max: float,
    problem: str,
) -> None:
    """Raises EmbeddedServerError with the problem when it takes longer."""
    deadline = time.monotonic() + seconds_max
    for process in processes:
        while not holds(process):
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"process {process.pid} {problem}")
            time.sleep(POLL_SECONDS)
