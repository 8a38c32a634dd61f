"""A server process that can be killed, frozen and started again, on the same port and files.

Every node runs under a keeper (guerdon.embedded.keeper), so that it ends with this process, however
this one ends; a frozen one goes on first. All methods block, for bounded time: call them from a
thread (asyncio.to_thread) where an event loop must go on.
"""

from collections.abc import Callable
from pathlib import Path

from guerdon.embedded.process import ServerOrder

# Seconds in which a killed process must be gone.
DEATH_SECONDS_MAX = 10.0


class Node:
    """A server under its keeper. `port` outlives every death of it."""

    def __init__(
        self, make_order: Callable[[int], ServerOrder], is_ready: Callable[[int], bool]
    ) -> None:
        """Both take the port. Returns when the server answers; EmbeddedServerError if it won't."""
        self.port = 0
        self.logs: list[Path] = []
        """One for each start, the last one the present one's."""

    @property
    def is_running(self) -> bool:
        """Whether its process is there, frozen or not."""
        raise NotImplementedError

    def pids(self) -> list[int]:
        """Its processes, the first of them the parent of the others; none when it is dead."""
        raise NotImplementedError

    def kill(self) -> None:
        """SIGKILL to the server and all its children at once, as a loss of power."""
        raise NotImplementedError

    def start(self) -> None:
        """Where it was, with what it had written; returns when it answers."""
        raise NotImplementedError

    def launch(self) -> None:
        """The same without waiting for its answer, for what needs others to become ready."""
        raise NotImplementedError

    def wait_until_ready(self) -> None:
        """After launch. Raises EmbeddedServerError, with the end of its log."""
        raise NotImplementedError

    def freeze(self, pids: list[int] | None = None) -> None:
        """SIGSTOP to these of its processes, or to all."""
        raise NotImplementedError

    def thaw(self) -> None:
        """SIGCONT to all that are frozen."""
        raise NotImplementedError

    def end(self) -> None:
        """Stop it if it runs."""
        raise NotImplementedError
