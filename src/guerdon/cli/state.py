"""What `guerdon dev` keeps in its state folder: the pepper, and how to reach the demo tenant.

Both files can be read by their owner alone.
"""

import base64
import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec

from guerdon.config import PEPPER_BYTES_MIN, SettingsInvalid
from guerdon.embedded import EmbeddedServerError
from guerdon.embedded.places import state_folder

PEPPER_FILE = "pepper"
ACCESS_FILE = "demo.json"
LOCK_FILE = "dev"


class DemoAccess(msgspec.Struct, frozen=True):
    """The demo tenant's key, and where its server was last."""

    address: str
    api_key: str


def read_demo_access() -> DemoAccess | None:
    """None before the first `guerdon dev`, or when the file cannot be read."""
    try:
        return msgspec.json.decode((state_folder() / ACCESS_FILE).read_bytes(), type=DemoAccess)
    except (OSError, EmbeddedServerError, msgspec.DecodeError):
        return None


def write_demo_access(access: DemoAccess) -> Path:
    """Where it was written."""
    file = state_folder() / ACCESS_FILE
    _write_private(file, msgspec.json.encode(access))
    return file


def own_pepper() -> str:
    """Made at the first start and kept: the keys in the database are checked by it."""
    file = state_folder() / PEPPER_FILE
    if not file.exists():
        made = base64.b64encode(secrets.token_bytes(PEPPER_BYTES_MIN))
        _write_private(file, made)
    return file.read_text()


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Raises SettingsInvalid while another `guerdon dev` runs here; a dead one holds nothing."""
    file = state_folder() / LOCK_FILE
    with open(file, "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise SettingsInvalid(
                f"`guerdon dev` is already running here (process {lock.read().strip()}): use it, "
                "stop it with Ctrl-C, or set GUERDON_HOME to another folder for a second one."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _write_private(file: Path, content: bytes) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    new = file.with_name(f"{file.name}.new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)
    new.replace(file)
