"""A run's folder: dumped, so that it can be judged again without the servers of old."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from guerdon.embedded import temporary_postgres
from guerdon.embedded.binaries import find_postgres
from loadtests.faults.record import BUILD_FOLDER, DUMP_FILE, POINTS_FOLDER

# Seconds for a dump or its reading: a million redemptions take a fraction of it.
DUMP_SECONDS_MAX = 300.0


def dump(database_url: str, folder: Path) -> None:
    """Everything in the schema guerdon. Raises CalledProcessError."""
    with (folder / DUMP_FILE).open("wb") as file:
        run_tool(
            "pg_dump", "--format=custom", "--schema=guerdon", f"--dbname={database_url}", out=file
        )


@contextlib.contextmanager
def restored(folder: Path) -> Iterator[str]:
    """The URL of a temporary Postgres that holds the dump of a kept run."""
    with temporary_postgres() as url:
        read_dump(url, folder)
        yield url


def read_dump(database_url: str, folder: Path) -> None:
    """Into a database without the schema. Raises CalledProcessError."""
    # The application's role is not needed to read, so what is granted to it is left out.
    options = ["--no-owner", "--no-privileges", "--exit-on-error"]
    run_tool("pg_restore", *options, f"--dbname={database_url}", str(folder / DUMP_FILE))


def run_tool(name: str, *arguments: str, out: IO[bytes] | None = None) -> None:
    command = [str(find_postgres().folder / name), *arguments]
    subprocess.run(command, check=True, timeout=DUMP_SECONDS_MAX, stdout=out)


def keep(folder: Path, target: Path) -> Path:
    """Copy a run's folder to where its owner wants it, without what only the run needed. Raises
    FileExistsError."""
    if target.exists():
        raise FileExistsError(f"{target} exists: name another folder, or remove it first")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns(POINTS_FOLDER, BUILD_FOLDER))
    return target
