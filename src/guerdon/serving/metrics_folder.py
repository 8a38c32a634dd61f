"""The folder in which workers keep their metrics: fresh for each start, and gone after it.

Its `owner` file is locked for as long as its supervisor lives; the system ends the lock with the
process, so a folder whose lock can be had is what a killed supervisor left behind.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PREFIX = "guerdon-metrics-"
OWNER_FILE = "owner"
# Seconds in which a folder may be without its lock, because it is just being made.
UNLOCKED_SECONDS_MAX = 60.0


@contextlib.contextmanager
def metrics_folder() -> Iterator[Path]:
    """A new one: files of an earlier start would be counted again. Leftovers of others go first."""
    remove_leftovers(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name:
        folder = Path(name)
        with (folder / OWNER_FILE).open("w") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX)
            yield folder


def remove_leftovers(base: Path) -> None:
    """Those of this user in `base`; what a living supervisor owns is left alone."""
    for folder in base.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            status = folder.lstat()
            age_seconds = time.time() - status.st_mtime
            is_ours = status.st_uid == os.geteuid() and not folder.is_symlink()
            if is_ours and age_seconds > UNLOCKED_SECONDS_MAX and not has_owner(folder):
                shutil.rmtree(folder, ignore_errors=True)


def has_owner(folder: Path) -> bool:
    """Whether a supervisor lives that made it. One without an owner's file that holds anything is
    of another version, which alone knows."""
    try:
        with (folder / OWNER_FILE).open() as owner:
            fcntl.flock(owner, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return any(folder.iterdir())
    return False
