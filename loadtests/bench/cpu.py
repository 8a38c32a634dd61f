"""CPU seconds by component: whole process trees, with what their ended children used."""

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

import msgspec
import psutil


class Usage(msgspec.Struct, frozen=True):
    """CPU seconds since the processes began, by component and by server worker."""

    components: dict[str, float]
    workers: dict[int, float]

    def since(self, before: "Usage") -> "Usage":
        """What was used between the two."""
        return Usage(
            {name: total - before.components[name] for name, total in self.components.items()},
            {pid: total - before.workers.get(pid, 0.0) for pid, total in self.workers.items()},
        )


class Meter:
    """Reads the CPU use of components, each given by the process ids of its roots."""

    def __init__(self, roots: Mapping[str, Iterable[int]]) -> None:
        self._roots = {name: list(pids) for name, pids in roots.items()}

    def read(self, server_port: int) -> Usage:
        """`workers` are the processes that listen on the port, and `server` all of their tree."""
        workers = {pid: tree_seconds(pid) for pid in listeners(server_port)}
        components = {
            name: sum(tree_seconds(pid) for pid in pids) for name, pids in self._roots.items()
        }
        return Usage(components | {"server": sum(workers.values())}, workers)


def listeners(port: int) -> list[int]:
    """Processes that listen on the port of this machine; empty where the system does not tell."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return []
    return sorted(
        {
            connection.pid
            for connection in connections
            if connection.status == psutil.CONN_LISTEN
            and tuple(connection.laddr)[1:2] == (port,)
            and connection.pid is not None
        }
    )


def listeners_of(url: str) -> list[int]:
    """The server behind a URL, when it is on this machine."""
    parts = urlsplit(url)
    local = parts.hostname in {"127.0.0.1", "localhost", "::1"}
    return listeners(parts.port) if local and parts.port else []


def tree_seconds(pid: int) -> float:
    """User and system time of a process and of all its descendants, ended ones included."""
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    total = 0.0
    for process in processes:
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total
