"""Watches a server while it is loaded: how much waits in its queues, and its workers' memory."""

import contextlib
import re
import threading
import urllib.request
from collections.abc import Iterator

import msgspec
import psutil

from guerdon.telemetry import QUEUE_ITEMS
from loadtests.bench.cpu import listeners
from loadtests.bench.memory import MEGABYTE

# Seconds between two looks: a look costs the supervisor some milliseconds.
LOOK_SECONDS = 1.0
ANSWER_SECONDS_MAX = 10.0


class Watched(msgspec.Struct):
    """The most that was seen: items waiting in all workers, and megabytes of one worker."""

    queue_items_max: int = 0
    worker_megabytes_before: float = 0.0
    worker_megabytes_max: float = 0.0


@contextlib.contextmanager
def watching(port: int) -> Iterator[Watched]:
    """Look now and then until the block ends. `port` is where the workers listen."""
    watched, ended = Watched(), threading.Event()
    watched.worker_megabytes_before = watched.worker_megabytes_max = worker_megabytes(port)
    monitor = monitor_port(port)

    def look_for_ever() -> None:
        while not ended.wait(LOOK_SECONDS):
            watched.queue_items_max = max(watched.queue_items_max, queue_items(monitor))
            watched.worker_megabytes_max = max(watched.worker_megabytes_max, worker_megabytes(port))

    thread = threading.Thread(target=look_for_ever, name="watch", daemon=True)
    thread.start()
    try:
        yield watched
    finally:
        ended.set()
        thread.join()


def worker_megabytes(port: int) -> float:
    """Memory of the largest worker; 0 while there is none."""
    sizes = [0.0]
    for pid in listeners(port):
        with contextlib.suppress(psutil.NoSuchProcess):
            sizes.append(psutil.Process(pid).memory_info().rss / MEGABYTE)
    return max(sizes)


def queue_items(monitor: int) -> int:
    """The queue gauge; 0 when the page does not answer."""
    with contextlib.suppress(OSError):
        page = f"http://127.0.0.1:{monitor}/metrics"
        with urllib.request.urlopen(page, timeout=ANSWER_SECONDS_MAX) as answer:
            found = re.search(rf"^{QUEUE_ITEMS} ([0-9.e+]+)$", answer.read().decode(), re.M)
            return int(float(found[1])) if found else 0
    return 0


def monitor_port(port: int) -> int:
    """Where the supervisor of the workers on that port shows its metrics."""
    supervisor = psutil.Process(listeners(port)[0]).parent()
    assert supervisor is not None, "a worker has a supervisor"
    return next(
        int(connection.laddr.port)
        for connection in supervisor.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port != port
    )
