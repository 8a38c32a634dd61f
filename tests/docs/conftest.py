"""A `guerdon dev` as a reader of the pages has it."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.process.servers import PATIENCE_SECONDS, environment

START_SECONDS_MAX = 60.0
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Demo:
    """A running development server; `env` leads commands to it."""

    address: str
    env: dict[str, str]


@pytest.fixture(scope="session")
def demo() -> Iterator[Demo]:
    """Fresh, with the demo tenant alone. Postgres' user must get through to its state folder."""
    with tempfile.TemporaryDirectory(prefix="guerdon-docs-") as folder:
        home = Path(folder)
        home.chmod(0o711)
        env = environment("", GUERDON_HOME=str(home))
        del env["DATABASE_URL"], env["GUERDON_API_KEY_PEPPER"]
        with (home / "said.txt").open("wb") as said:
            server = subprocess.Popen(
                [sys.executable, "-m", "guerdon", "dev"],
                env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
            )  # fmt: skip
        try:
            yield Demo(wait_for_address(server, home), env)
        finally:
            server.terminate()
            server.wait(PATIENCE_SECONDS)


def wait_for_address(server: "subprocess.Popen[bytes]", home: Path) -> str:
    """The address is written down when every worker serves."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and server.poll() is None:
        access = home / "demo.json"
        address = json.loads(access.read_bytes())["address"] if access.exists() else ""
        if address:
            return str(address)
        time.sleep(POLL_SECONDS)
    raise AssertionError((home / "said.txt").read_text())


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder in which `./dev` is that of the checkout, to save files beside."""
    root = Path(__file__).resolve().parents[2]
    os.symlink(root / "dev", tmp_path / "dev")
    return tmp_path
