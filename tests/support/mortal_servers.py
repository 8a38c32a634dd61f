"""Postgres and Valkey that can be killed and started again, on the same port and files."""

import contextlib
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import partial

import psutil

from guerdon.embedded import places, postgres, valkey
from guerdon.embedded.binaries import find_postgres, find_valkey
from guerdon.embedded.process import (
    ServerOrder,
    start_and_wait,
    start_on_free_port,
    stop_keeper,
)
from guerdon.embedded.temporary import temporary_folder

DEATH_SECONDS_MAX = 10.0


class MortalServer:
    """A server under its keeper. `port` and `url` outlive every death of it."""

    def __init__(
        self,
        make_order: Callable[[int], ServerOrder],
        is_ready: Callable[[int], bool],
        make_url: Callable[[int], str],
    ) -> None:
        self._make_order = make_order
        self._is_ready = is_ready
        self.port, self._keeper = start_on_free_port(make_order, is_ready)
        self.url = make_url(self.port)

    def kill(self) -> None:
        """SIGKILL to the server and all its children at once, as a loss of power."""
        family = psutil.Process(self._keeper.pid).children(recursive=True)
        # The parent first: it must not notice that a child died, and begin to recover.
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        stop_keeper(self._keeper)
        _, alive = psutil.wait_procs(family, timeout=DEATH_SECONDS_MAX)
        assert not alive, "a killed server is still there"

    def start(self) -> None:
        """Where it was, with what it had written; returns when it answers."""
        order = self._make_order(self.port)
        self._keeper = start_and_wait(order, partial(self._is_ready, self.port))

    def end(self) -> None:
        """Stop it if it runs."""
        stop_keeper(self._keeper)


@contextlib.contextmanager
def mortal_postgres() -> Iterator[MortalServer]:
    """A new cluster; `url` is the superuser's."""
    binaries = find_postgres()
    with temporary_folder() as folder:
        data = folder / f"postgres-{binaries.major}"
        password = postgres.own_password(folder, make_new=True)
        postgres.make_cluster(binaries, data, password)

        def order(port: int) -> ServerOrder:
            return ServerOrder(
                name="Postgres",
                command=postgres.server_command(binaries, data, port, fsync=True),
                folder=data,
                log=folder / "postgres.log",
                stop_signal=signal.SIGQUIT,
                user=places.postgres_user(),
            )

        def is_ready(port: int) -> bool:
            # postmaster.pid outlives a killed server, so only an answer counts.
            ask = [str(binaries.folder / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
            return subprocess.run(ask, check=False).returncode == 0

        def url(port: int) -> str:
            login = f"{postgres.SUPERUSER}:{password}"
            return f"postgresql://{login}@127.0.0.1:{port}/postgres?sslmode=disable"

        with _ending(MortalServer(order, is_ready, url)) as server:
            yield server


@contextlib.contextmanager
def mortal_valkey() -> Iterator[MortalServer]:
    """An empty one; whenever it starts again it is empty again."""
    password = "known-to-this-test"
    with temporary_folder() as folder:

        def order(port: int) -> ServerOrder:
            configuration = valkey.write_configuration(folder, port, password)
            return ServerOrder(
                name="Valkey",
                command=[str(find_valkey()), str(configuration)],
                folder=folder,
                log=folder / "valkey.log",
                stop_signal=signal.SIGTERM,
            )

        def url(port: int) -> str:
            return f"redis://:{password}@127.0.0.1:{port}/0"

        with _ending(MortalServer(order, valkey.is_ready, url)) as server:
            yield server


@contextlib.contextmanager
def _ending(server: MortalServer) -> Iterator[MortalServer]:
    try:
        yield server
    finally:
        server.end()
