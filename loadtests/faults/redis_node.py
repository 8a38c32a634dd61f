"""Redis (Valkey) as a node, without persistence: whenever it starts again it is empty."""

import contextlib
import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import redis

from guerdon.embedded import valkey
from guerdon.embedded.binaries import find_valkey
from guerdon.embedded.process import ServerOrder
from guerdon.embedded.temporary import temporary_folder
from loadtests.faults.node import Node, ending

# Seconds for one command of the lab's own.
COMMAND_SECONDS_MAX = 10.0
# Nobody listens there: who follows it has no primary.
NOWHERE = 1
MEMORY = {"maxmemory": "256mb", "maxmemory-policy": "allkeys-lru"}
MEMORY_FULL = {"maxmemory": "1", "maxmemory-policy": "noeviction"}
# A replica is fed at once when it asks, instead of after some seconds in which others might ask.
REPLICATION = "masterauth {password}\nrepl-diskless-sync-delay 0\n"


class RedisNode(Node):
    """`url` has the password. What is set here lasts until it is unset or the node dies."""

    def __init__(
        self,
        make_order: Callable[[int], ServerOrder],
        is_ready: Callable[[int], bool],
        password: str,
    ) -> None:
        super().__init__(make_order, is_ready)
        self._password = password
        self.url = self.url_at(self.port)

    def url_at(self, port: int) -> str:
        """The same by another port, as of a link."""
        return f"redis://:{self._password}@127.0.0.1:{port}/0"

    def flush(self) -> None:
        """FLUSHALL."""
        self._tell("FLUSHALL")

    def flush_scripts(self) -> None:
        """SCRIPT FLUSH."""
        self._tell("SCRIPT FLUSH")

    def pause(self, seconds: float) -> None:
        """CLIENT PAUSE: connections are accepted, and nothing is answered for so long. It cannot
        be ended before: who would tell it is not answered either."""
        self._tell("CLIENT PAUSE", int(seconds * 1000), "ALL")

    def ping(self) -> None:
        """Returns when it answers, which a paused one does when its pause is over."""
        self._tell("PING")

    def set_read_only(self, value: bool) -> None:
        """Writes get READONLY, as from a primary that was demoted."""
        if value:
            self.follow(NOWHERE)
        else:
            self.promote()

    def set_full(self, value: bool) -> None:
        """Writes get OOM, as at `maxmemory` without eviction."""
        for name, setting in (MEMORY_FULL if value else MEMORY).items():
            self._tell("CONFIG SET", name, setting)

    def follow(self, port: int) -> None:
        """Become a replica of the Redis behind this port, with the same password."""
        self._tell("REPLICAOF", "127.0.0.1", port)

    def promote(self) -> None:
        """REPLICAOF NO ONE: a primary with what it has."""
        self._tell("REPLICAOF", "NO", "ONE")

    def reset_settings(self) -> None:
        """A primary that takes writes, whatever was set before."""
        self.set_full(False)
        self.promote()

    def replication(self) -> dict[str, Any]:
        """INFO replication."""
        with self._client() as client:
            found: dict[str, Any] = client.info("replication")
            return found

    def _tell(self, *command: object) -> None:
        with self._client() as client:
            client.execute_command(*command)

    def _client(self) -> redis.Redis:
        return redis.Redis.from_url(
            self.url,
            socket_timeout=COMMAND_SECONDS_MAX,
            socket_connect_timeout=COMMAND_SECONDS_MAX,
        )


def has_all_of(replica: RedisNode, primary: RedisNode) -> bool:
    """Whether it follows, and nothing is on the way."""
    state = replica.replication()
    there: int = primary.replication()["master_repl_offset"]
    return state["master_link_status"] == "up" and bool(state["slave_repl_offset"] >= there)


@contextlib.contextmanager
def mortal_redis(
    logs: Path | None = None, name: str = "redis", password: str | None = None
) -> Iterator[RedisNode]:
    """An empty one. Its logs go to `logs` if given. Those that shall follow each other need the
    same password; one of its own is made without."""
    secret = password or secrets.token_hex(16)
    with temporary_folder() as folder:
        # Where a later run finds the process id of one whose owner and keeper were killed.
        work = folder / "valkey"
        work.mkdir(mode=0o700)

        def order(port: int) -> ServerOrder:
            configuration = valkey.write_configuration(work, port, secret)
            with configuration.open("a") as text:
                text.write(REPLICATION.format(password=secret))
            return ServerOrder(
                name="Redis",
                command=[str(find_valkey()), str(configuration)],
                folder=work,
                log=(logs or folder) / f"{name}.log",
                stop_signal=signal.SIGTERM,
            )

        with ending(RedisNode(order, valkey.is_ready, secret)) as node:
            yield node
