"""Where embedded servers keep their files, and as whom they run.

GUERDON_HOME names the folder. Without it each virtual environment, and so each checkout, has its
own below the user's state folder (XDG_STATE_HOME, else ~/.local/state). Postgres refuses to run
as root, so root's servers run as `nobody`, who cannot enter root's home: their files are below
/var/lib/guerdon instead. Nobody's home is ever opened up for it.
"""

import contextlib
import hashlib
import os
import pwd
import stat
import sys
import tempfile
from pathlib import Path

from guerdon.embedded.process import EmbeddedServerError

HOME_VARIABLE = "GUERDON_HOME"
ROOT_STATE = Path("/var/lib/guerdon")
ROOT_CACHE = Path("/var/cache/guerdon")


def is_root() -> bool:
    return os.geteuid() == 0


def postgres_user() -> tuple[int, int] | None:
    """(uid, gid) that Postgres must run as; None where the present user will do."""
    if not is_root():
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def state_folder() -> Path:
    """The folder of this checkout's development servers, made if it is not there."""
    if given := os.environ.get(HOME_VARIABLE):
        folder = Path(given).absolute()
    else:
        folder = default_state_base() / environment_key()
    make_private(folder)
    if is_root() and not is_open_to_all(folder):
        raise EmbeddedServerError(
            f"Postgres runs as nobody when started by root, and nobody cannot enter {folder}: "
            f"set {HOME_VARIABLE} to a folder outside private ones."
        )
    return folder


def default_state_base() -> Path:
    if is_root():
        return ROOT_STATE
    given = os.environ.get("XDG_STATE_HOME", "")
    base = Path(given) if os.path.isabs(given) else Path.home() / ".local" / "state"
    if can_make(base):
        return base / "guerdon"
    # A user without a home, as containers have them.
    return Path(tempfile.gettempdir()) / f"guerdon-state-{os.getuid()}"


def can_make(folder: Path) -> bool:
    nearest = next(parent for parent in [folder, *folder.parents] if parent.exists())
    return os.access(nearest, os.W_OK | os.X_OK)


def environment_key() -> str:
    """A name for this virtual environment: readable, and distinct for every path."""
    prefix = Path(sys.prefix).resolve()
    digest = hashlib.sha256(str(prefix).encode()).hexdigest()[:8]
    readable = prefix.parent.name if prefix.name.startswith(".") else prefix.name
    return f"{readable or 'guerdon'}-{digest}"


def make_private(folder: Path) -> None:
    """Others may not look inside; where nobody's servers live they may pass through."""
    folder.mkdir(mode=0o711 if is_root() else 0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise EmbeddedServerError(f"{folder} belongs to another user")


def temporary_base() -> Path:
    """Where temporary folders are made: root's must not be below one that is private to it."""
    base = Path(tempfile.gettempdir())
    return Path("/tmp") if is_root() and not is_open_to_all(base) else base


def is_open_to_all(path: Path) -> bool:
    """Whether any user can reach the path: every folder above it lets others pass."""
    resolved = path.resolve()
    return all(
        folder.stat().st_mode & stat.S_IXOTH
        for folder in [resolved, *resolved.parents]
        if folder.is_dir()
    )


def cache_folder() -> Path:
    """For copies of binaries that the servers' user could not reach; only root needs it."""
    folder = ROOT_CACHE
    with contextlib.suppress(PermissionError, OSError):
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    if not folder.is_dir():
        raise EmbeddedServerError(f"{folder} cannot be made: set PG_BIN_DIR to Postgres' binaries")
    return folder
