"""Postgres as a node."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from loadtests.faults.node import Node


class PostgresNode(Node):
    """`url` is the superuser's, of database `postgres`."""

    url: str

    def backends(self) -> list[int]:
        """Process ids of the present connections of Guerdon servers, in order of their start."""
        raise NotImplementedError

    def set_read_only(self, value: bool) -> None:
        """Every new statement of every session that would write gets 25006, as after a failover."""
        raise NotImplementedError


@contextlib.contextmanager
def mortal_postgres(logs: Path | None = None) -> Iterator[PostgresNode]:
    """A new cluster that flushes commits as production does. Its logs go to `logs` if given."""
    raise NotImplementedError
    yield
