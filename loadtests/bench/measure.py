"""One run's rounds, in the order of the plan, with the time that is left on the terminal."""

import statistics
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from loadtests.bench.fleet import Fleet, Measured
from loadtests.bench.memory import worker_memory
from loadtests.bench.orders import Target
from loadtests.bench.plan import LOADS, Phase, Plan
from loadtests.bench.results import WorkerMemory
from loadtests.bench.rows import KINDS
from loadtests.bench.stage import SCARCE_TOTAL_LIMIT, Stage

# How many times each use of the scarce offer is asked for.
SCARCE_DEMAND = 3


class Measurements(msgspec.Struct, frozen=True):
    """Rounds by row; those of one number were neighbours in time. Open loops by percent of
    `saturation`, which is in calls a second."""

    rounds: dict[str, list[Measured]]
    saturation: float
    loads: dict[int, Measured]
    timeline: Measured
    memory: list[WorkerMemory]


def measure(
    fleet: Fleet, targets: Mapping[str, Target], plan: Plan, stage: Stage, console: Console
) -> Measurements:
    """The whole plan. The scarce offer is sold out first, since a row refuses it."""
    for target in targets.values():
        fleet.connect(target, plan.connections)
    with progress_of(plan, console) as session:
        session.say("selling out")
        fleet.send("refusal", SCARCE_TOTAL_LIMIT * SCARCE_DEMAND, plan.in_flight)
        course = Course(fleet, plan, session)
        # While there is nothing in the main database yet.
        rounds = course.phase(plan.full)
        memory = worker_memory(stage.full.access.port)
        rounds |= course.phase(plan.main)
        saturation = statistics.median(good_per_second("hot", one) for one in rounds["hot"])
        loads = {percent: course.load(percent, saturation) for percent in LOADS}
        rounds |= course.phase(plan.batch)
        timeline = course.row("fresh", plan.timeline_seconds)
    return Measurements(rounds, saturation, loads, timeline, memory)


def good_per_second(row: str, measured: Measured) -> float:
    """Calls a second with the answer that the row is about."""
    return measured.calls.get(KINDS[row].expected, 0) / measured.seconds


class Session:
    """The bar on the terminal."""

    def __init__(self, progress: Progress, plan: Plan) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=plan.measuring_seconds)

    def say(self, doing: str) -> None:
        self._progress.update(self._task, description=doing)

    def passed(self, seconds: float) -> None:
        self._progress.advance(self._task, seconds)


@contextmanager
def progress_of(plan: Plan, console: Console) -> Iterator[Session]:
    columns = (
        TextColumn("Measuring {task.description:12}"),
        BarColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Session(progress, plan)


class Course:
    """Runs rounds and tells the session."""

    def __init__(self, fleet: Fleet, plan: Plan, session: Session) -> None:
        self._fleet = fleet
        self._plan = plan
        self._session = session

    def phase(self, phase: Phase) -> dict[str, list[Measured]]:
        """The rows in turn."""
        rounds: dict[str, list[Measured]] = {row: [] for row in phase.rows}
        for _ in range(phase.turns):
            for row in phase.rows:
                rounds[row].append(self.row(row, phase.seconds))
        return rounds

    def row(self, row: str, seconds: float) -> Measured:
        """One closed-loop round."""
        self._session.say(row)
        items = KINDS[row].items_per_call
        calls = self._plan.in_flight if items == 1 else self._plan.batch_calls(items)
        warm_up_seconds = self._plan.warm_up_seconds
        measured = self._fleet.closed_loop(row, seconds, calls, warm_up_seconds)
        self._session.passed(self._plan.round_seconds(seconds))
        return measured

    def load(self, percent: int, saturation: float) -> Measured:
        """One open-loop round of the hot offer."""
        self._session.say(f"hot at {percent} %")
        pace = max(1.0, saturation * percent / 100)
        seconds = self._plan.load_seconds
        measured = self._fleet.open_loop(
            "hot", seconds, pace, warm_up_seconds=self._plan.warm_up_seconds
        )
        self._session.passed(self._plan.round_seconds(seconds))
        return measured
