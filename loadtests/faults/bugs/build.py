"""A test build: a copy of src/ and migrations/ with one bug in it, for PYTHONPATH of a server."""

import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from loadtests import ROOT
from loadtests.faults.bugs.stage import Stage

MIGRATIONS = "migrations"
PARTS = ("src/guerdon", MIGRATIONS)


class BuildError(Exception):
    """The source is not as the bug expects it; the text says where."""


@dataclass(frozen=True)
class Change:
    """`old`, which is in `file` exactly once, becomes `new`. `file` is seen from the root."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Bug:
    """One bug. `sentence` says what the build does wrong, `scenario` is where that must be seen,
    and `caught_by` names a check that must find it there."""

    name: str
    sentence: str
    changes: tuple[Change, ...]
    scenario: Callable[[Stage], Awaitable[None]]
    caught_by: str
    workers: int = 1
    """Of the server that shows it: each costs a second of its start."""


def build(bug: Bug | None, folder: Path) -> Path:
    """Copies the source into `folder` and makes the bug's changes; what to put on PYTHONPATH.
    The migrations are where the copy looks for them. Raises BuildError."""
    for part in PARTS:
        # With the compiled files, whose sources keep their times: a server then starts at once.
        shutil.copytree(ROOT / part, folder / part)
    for change in bug.changes if bug else ():
        path = folder / change.file
        path.write_text(changed(change, path.read_text()))
    return folder / "src"


def changed(change: Change, text: str) -> str:
    """The text of the change's file with the change made. Raises BuildError."""
    if (times := text.count(change.old)) != 1:
        raise BuildError(f"{change.file} has {times} times, not once: {change.old}")
    result = text.replace(change.old, change.new)
    if change.file.endswith(".py"):
        compile(result, change.file, "exec")
    return result
