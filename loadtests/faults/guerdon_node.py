"""A Guerdon server as a node: `guerdon serve`, a supervisor with its workers."""

import contextlib
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from guerdon.embedded.process import ServerOrder
from guerdon.embedded.temporary import temporary_folder
from guerdon.limits import DRAIN_SECONDS_MAX, WORKER_END_SECONDS_MAX
from loadtests.faults.node import (
    DEATH_SECONDS_MAX,
    Node,
    ending,
    is_gone,
    steady_port,
    wait_until_all,
)

# Seconds for an answer of the health page; a frozen supervisor gives none.
HEALTH_SECONDS_MAX = 2.0
# Seconds in which workers end that lost their supervisor: they finish their calls first.
STRAY_SECONDS_MAX = DRAIN_SECONDS_MAX + WORKER_END_SECONDS_MAX + 10.0
# What is the machine's own and no affair of a server under test.
FOREIGN = ("GUERDON_", "OTEL_", "PROMETHEUS_", "DATABASE_", "REDIS_", "PYTHONPATH")


class GuerdonNode(Node):
    """`port` speaks gRPC, `monitor_port` HTTP; both stay. kill() kills supervisor and workers."""

    def __init__(
        self, make_order: Callable[[int], ServerOrder], monitor_port: int, workers: int
    ) -> None:
        self.monitor_port = monitor_port
        self._worker_count = workers
        self._strays: list[psutil.Process] = []
        super().__init__(make_order, lambda _: self.writable_workers() == workers)

    def workers(self) -> list[int]:
        """Process ids of its workers, in order of their start."""
        pids = self.pids()[:1]
        try:
            children = [child for pid in pids for child in psutil.Process(pid).children()]
            return [child.pid for child in sorted(children, key=psutil.Process.create_time)]
        except psutil.NoSuchProcess:
            return []

    def kill_worker(self, pid: int) -> None:
        """SIGKILL to one of its workers; the supervisor starts another. Returns at once."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def kill_supervisor(self) -> None:
        """SIGKILL to the supervisor alone: its workers must notice and end. Returns when it is
        gone."""
        supervisor, *workers = self._processes()
        self._strays = workers
        supervisor.kill()
        wait_until_all([supervisor], is_gone, DEATH_SECONDS_MAX, "is there after it was killed")

    def launch(self) -> None:
        """As every node's, after workers that lost their supervisor have ended by themselves.
        Raises EmbeddedServerError when they do not."""
        wait_until_all(self._strays, is_gone, STRAY_SECONDS_MAX, "did not end with its supervisor")
        self._strays = []
        super().launch()

    def end(self) -> None:
        """As every node's; nothing is left of those workers either."""
        super().end()
        for stray in self._strays:
            with contextlib.suppress(psutil.NoSuchProcess):
                stray.kill()

    def writable_workers(self) -> int:
        """How many of its workers have just proved that they can write, by /readyz."""
        url = f"http://127.0.0.1:{self.monitor_port}/readyz"
        try:
            with urllib.request.urlopen(url, timeout=HEALTH_SECONDS_MAX) as answer:
                return writable_in(json.load(answer))
        except urllib.error.HTTPError as error:
            # Not ready, with the same body.
            with error:
                return writable_in(json.load(error))
        except OSError:
            return 0

    @property
    def all_writable(self) -> bool:
        """Whether every worker can write."""
        return self.writable_workers() == self._worker_count


def writable_in(health: Mapping[str, Any]) -> int:
    return sum(worker["writable"] for worker in health["workers"].values())


@contextlib.contextmanager
def mortal_guerdon(
    name: str, logs: Path, variables: Mapping[str, str], workers: int, source: Path | None = None
) -> Iterator[GuerdonNode]:
    """`variables` are all it gets of DATABASE_*, REDIS_* and GUERDON_*. `source` goes first on its
    module path."""
    monitor_port = steady_port()
    environment = guerdon_environment(variables, source)
    with temporary_folder() as folder:

        def order(port: int) -> ServerOrder:
            options = ["--workers", str(workers), "--port", str(port)]
            options += ["--monitor-port", str(monitor_port)]
            return ServerOrder(
                name="Guerdon",
                command=[sys.executable, "-m", "guerdon", "serve", *options],
                folder=folder,
                log=logs / f"{name}.log",
                stop_signal=signal.SIGTERM,
                environment=environment,
            )

        with ending(GuerdonNode(order, monitor_port, workers)) as node:
            yield node


def guerdon_environment(variables: Mapping[str, str], source: Path | None = None) -> dict[str, str]:
    """For a process of Guerdon: `variables`, and nothing of the machine's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    path = {"PYTHONPATH": str(source)} if source else {}
    return kept | path | dict(variables)
