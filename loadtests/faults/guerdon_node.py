"""A Guerdon server as a node: `guerdon serve`, a supervisor with its workers."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from loadtests.faults.node import Node


class GuerdonNode(Node):
    """`port` speaks gRPC, `monitor_port` HTTP; both stay. kill() kills supervisor and workers."""

    monitor_port: int

    def workers(self) -> list[int]:
        """Process ids of its workers, in order of their start."""
        raise NotImplementedError

    def kill_supervisor(self) -> None:
        """SIGKILL to the supervisor alone: its workers must notice and end. Returns at once."""
        raise NotImplementedError

    @property
    def is_ready(self) -> bool:
        """Whether a worker has just proved that it can write (/readyz)."""
        raise NotImplementedError


@contextlib.contextmanager
def mortal_guerdon(
    name: str, logs: Path, variables: Mapping[str, str], workers: int, source: Path | None = None
) -> Iterator[GuerdonNode]:
    """`variables` are all it gets of DATABASE_*, REDIS_* and GUERDON_*. `source` goes first on its
    module path."""
    raise NotImplementedError
    yield
