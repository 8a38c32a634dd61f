"""What a run leaves for its judgement, beside the clients' histories and the database: one folder.

run.json       a RunRecord
history/       the clients' files, see intents.py
database.dump  the database, by pg_dump in its custom format
logs/          of every process of the site
"""

from pathlib import Path
from uuid import UUID

import msgspec

from loadtests.faults.report import FaultMark, Phase
from loadtests.faults.schedule import Schedule
from loadtests.faults.wares import Ware
from loadtests.history import Edit, Goal

RECORD_FILE, DUMP_FILE = "run.json", "database.dump"
HISTORY_FOLDER, LOGS_FOLDER = "history", "logs"
# Where the servers look for what to do at their failpoints, and what they are made from: not kept.
POINTS_FOLDER, BUILD_FOLDER = "failpoints", "build"


class CounterPair(msgspec.Struct, frozen=True):
    """An offer's counters in Redis, None where it has none, and in Postgres."""

    offer_id: UUID
    redis: dict[str, str] | None
    postgres: dict[str, str]


class Observed(msgspec.Struct):
    """What was looked at while the site still stood."""

    counters: list[CounterPair] = []
    leftovers: list[str] = []
    """Sessions in a transaction, and locks, after the quiet."""
    worker_megabytes: dict[str, list[float]] = {}
    """By process id: resident memory, in order of time."""
    log_errors: list[str] = []
    """What the servers' logs hold that no fault explains."""


class RunRecord(msgspec.Struct):
    """Monotonic times are of the machine's clock, as in the histories; marks and phases count
    seconds from `began_at`."""

    tier: str
    schedule: Schedule
    began: str
    began_at: float
    tenants: list[UUID]
    wares: list[Ware]
    bug: str = ""
    quiet_at: float = 0.0
    ended_at: float = 0.0
    marks: list[FaultMark] = []
    phases: list[Phase] = []
    goals: list[Goal] = []
    edits: list[Edit] = []
    observed: Observed = msgspec.field(default_factory=Observed)

    def save(self, folder: Path) -> None:
        (folder / RECORD_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(self)))


def load_record(folder: Path) -> RunRecord:
    """Raises FileNotFoundError where no run was kept."""
    return msgspec.json.decode((folder / RECORD_FILE).read_bytes(), type=RunRecord)


def history_files(folder: Path) -> list[Path]:
    return sorted((folder / HISTORY_FOLDER).iterdir())
