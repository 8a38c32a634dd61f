"""Folders that are gone after use, however their user ended.

A folder's `owner` file is locked for as long as its user lives; the system ends the lock with the
process, so a folder whose lock can be had is a leftover and is removed with the server in it.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from guerdon.embedded import places
from guerdon.embedded.process import end_leftover

PREFIX = "guerdon-temporary-"
OWNER_FILE = "owner"
# Seconds in which a folder may be without its lock, because it is just being made.
UNLOCKED_SECONDS_MAX = 60.0


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder, which nobody's servers may pass through; leftovers of others go first."""
    base = places.temporary_base()
    remove_leftovers(base)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    try:
        # It appears under its name only when it is locked: unlocked it would be a leftover's.
        making = folder / f"{OWNER_FILE}.new"
        with open(making, "w") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX)
            making.rename(folder / OWNER_FILE)
            folder.chmod(0o711 if places.is_root() else 0o700)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(base: Path) -> None:
    for folder in base.glob(f"{PREFIX}*"):
        with contextlib.suppress(FileNotFoundError):
            status = folder.lstat()
            if status.st_uid == os.geteuid() and folder.is_dir() and is_leftover(folder):
                end_servers(folder)
                shutil.rmtree(folder, ignore_errors=True)


def is_leftover(folder: Path) -> bool:
    try:
        with open(folder / OWNER_FILE) as owner:
            fcntl.flock(owner, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except FileNotFoundError:
        return time.time() - folder.stat().st_mtime > UNLOCKED_SECONDS_MAX
    return True


def end_servers(folder: Path) -> None:
    """The files with a server's process id are in the server's own working folder."""
    for pid_file in folder.glob("*/*.pid"):
        if pid := read_pid(pid_file):
            end_leftover(pid, pid_file.parent, signal.SIGQUIT)


def read_pid(pid_file: Path) -> int | None:
    """The number on the file's first line, None when there is none."""
    try:
        return int(pid_file.read_text().splitlines()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return None
