"""Connections that are spread evenly over the workers of a server.

The workers share a port, and the kernel picks one of them for each connection by a hash: of 16
connections one worker may hold 11. A worker that holds more does more, so that the server looks
slower than it is. So more are opened than wanted, and only as many kept of each worker.
"""

from collections.abc import Callable, Collection

import psutil

from loadtests.bench.cpu import listeners

# Times that connections are opened; with two workers one in a million runs needs more.
TRIES_MAX = 20


def balanced(
    open_more: Callable[[], Collection[int]], server_port: int, connections: int
) -> dict[int, list[int]]:
    """Local ports to keep by worker: as many of each, `connections` in all or a few more to come
    out even. `open_more` opens further ones and gives all local ports.

    Where the system does not tell who listens, the first ones are all of an unknown worker 0.
    Raises RuntimeError when a worker gets too few.
    """
    workers = listeners(server_port)
    if not workers:
        return {0: list(open_more())[:connections]}
    each = -(-connections // len(workers))
    ends: dict[int, list[int]] = {}
    for _ in range(TRIES_MAX):
        ends = ends_by_worker(open_more(), server_port)
        if all(len(ends.get(worker, ())) >= each for worker in workers):
            return {worker: ends[worker][:each] for worker in workers}
    counts = {worker: len(ends.get(worker, ())) for worker in workers}
    raise RuntimeError(f"not every worker took {each} connections: {counts}")


def ends_by_worker(ports: Collection[int], server_port: int) -> dict[int, list[int]]:
    """Which process holds the other end of each connection from these ports of this machine."""
    ends: dict[int, list[int]] = {}
    for connection in psutil.net_connections(kind="tcp"):
        local, remote = connection.laddr, connection.raddr
        if local and remote and local.port == server_port and remote.port in ports:
            ends.setdefault(connection.pid or 0, []).append(remote.port)
    return ends
