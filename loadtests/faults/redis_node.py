"""Redis (Valkey) as a node, without persistence: whenever it starts again it is empty."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from loadtests.faults.node import Node


class RedisNode(Node):
    """`url` has the password. What is set here lasts until it is unset or the node dies."""

    url: str

    def flush(self) -> None:
        """FLUSHALL."""
        raise NotImplementedError

    def flush_scripts(self) -> None:
        """SCRIPT FLUSH."""
        raise NotImplementedError

    def pause(self, seconds: float) -> None:
        """CLIENT PAUSE: connections are accepted, and nothing is answered for so long."""
        raise NotImplementedError

    def unpause(self) -> None:
        """CLIENT UNPAUSE."""
        raise NotImplementedError

    def set_read_only(self, value: bool) -> None:
        """Writes get READONLY, as from a primary that was demoted."""
        raise NotImplementedError

    def set_full(self, value: bool) -> None:
        """Writes get OOM, as at `maxmemory` without eviction."""
        raise NotImplementedError

    def follow(self, port: int) -> None:
        """Become a replica of the Redis behind this port, with the same password."""
        raise NotImplementedError

    def promote(self) -> None:
        """REPLICAOF NO ONE: a primary with what it has."""
        raise NotImplementedError


@contextlib.contextmanager
def mortal_redis(logs: Path | None = None) -> Iterator[RedisNode]:
    """An empty one. Its logs go to `logs` if given."""
    raise NotImplementedError
    yield
