"""What a server's workers hold in memory."""

import psutil

from loadtests.bench.cpu import listeners
from loadtests.bench.results import WorkerMemory

MEGABYTE = 1_000_000


def worker_memory(server_port: int) -> list[WorkerMemory]:
    """Of each process that listens on the port, the largest first; a worker reads all live offers
    of a tenant with its first call and keeps them. Empty where the system does not tell."""
    found = [memory_of(pid) for pid in listeners(server_port)]
    return sorted(found, key=lambda memory: memory.rss_mb, reverse=True)


def memory_of(pid: int) -> WorkerMemory:
    """Where the system does not know the proportional set size, the resident one stands for it."""
    info = psutil.Process(pid).memory_full_info()
    pss = getattr(info, "pss", info.rss)
    return WorkerMemory(info.rss / MEGABYTE, pss / MEGABYTE, info.uss / MEGABYTE)
