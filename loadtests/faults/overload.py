"""Overload: ten times the callers that saturate a server, and a database that is away for a while.

`python -m loadtests.faults.overload` runs both, on servers of its own. See ADR 21 for what a server
does about it.
"""

import argparse
import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import msgspec
from rich.console import Console

from guerdon.embedded import EmbeddedServerError
from loadtests.admin import tenant_of
from loadtests.audit import Report, audit, print_report
from loadtests.bench.go import NoGoError
from loadtests.faults.crowd import Crowd, Seen, crowd_of, see
from loadtests.faults.crowd_scene import Scene, make_scene
from loadtests.faults.postgres_node import mortal_postgres
from loadtests.faults.redis_node import mortal_redis
from loadtests.faults.watch import Watched, watching
from loadtests.history import Attempt, History
from loadtests.servers import own_guerdon

WORKERS = 2
# Callers that are tried in turn to find the most that the server can do.
CALLERS_TRIED = (64, 128, 256, 512)
STEP_SECONDS = 5.0
# Seconds of a round that do not count: its callers arrive, queues and pushbacks find their size.
WARM_UP_SECONDS = 2.0
# The first count of callers with so much of the peak is what saturates the server.
SATURATED_SHARE = 0.95
OVERLOAD_FACTOR = 10
OVERLOAD_SECONDS = 30.0
# What must hold under overload.
GOODPUT_SHARE_MIN = 0.8
SHED_MILLISECONDS_MAX = 50.0
# Growth of a worker for queues, open calls and the core's buffers for each: measured, and doubled.
WORKER_GROWTH_MEGABYTES_MAX = 100.0
# What is still open is sent again by so many callers, for so long at most.
SETTLING_CALLERS = 64
SETTLE_SECONDS_MAX = 60.0
# The outage, and how soon which part of the goodput before it must be back.
OUTAGE_CALLERS = 512
OUTAGE_SECONDS = 30.0
BEFORE_SECONDS = 10.0
RECOVERY_SECONDS_MAX = 30.0
RECOVERED_SHARE = 0.9
# Seconds over which goodput is taken to say that it is back.
RECOVERED_WINDOW_SECONDS = 3.0

console = Console(highlight=False)


class OverloadReport(msgspec.Struct, frozen=True):
    """What a run with too many callers met."""

    steps: dict[int, float]
    """Definite answers a second by callers."""
    peak_per_second: float
    callers: int
    seen: Seen
    watched: Watched
    audit: Report
    shortfalls: list[str]
    """What did not hold, a sentence each."""

    @property
    def passed(self) -> bool:
        """Whether the server held what it promises."""
        return not self.shortfalls and self.audit.passed


class OutageReport(msgspec.Struct, frozen=True):
    """What callers met when Postgres was killed and came back."""

    before_per_second: float
    callers: int
    away_seconds: float
    recovered_after_seconds: float | None
    """From the moment that Postgres took connections; None when not within the time."""
    during: Seen
    after: Seen
    audit: Report
    shortfalls: list[str]

    @property
    def passed(self) -> bool:
        """Whether the server came back unaided, and nothing was lost."""
        return not self.shortfalls and self.audit.passed


async def overload(
    *,
    seconds: float = OVERLOAD_SECONDS,
    step_seconds: float = STEP_SECONDS,
    callers_tried: Sequence[int] = CALLERS_TRIED,
) -> OverloadReport:
    """On servers of its own; about a minute and a half by default."""
    return await asyncio.to_thread(_overload, seconds, step_seconds, callers_tried)


async def outage(
    *,
    before_seconds: float = BEFORE_SECONDS,
    away_seconds: float = OUTAGE_SECONDS,
    recovery_seconds_max: float = RECOVERY_SECONDS_MAX,
    callers: int = OUTAGE_CALLERS,
) -> OutageReport:
    """On servers of its own; about a minute and a half by default."""
    return await asyncio.to_thread(
        _outage, before_seconds, away_seconds, recovery_seconds_max, callers
    )


class _Stage(msgspec.Struct, frozen=True):
    """Servers with their callers; `postgres` can be killed."""

    scene: Scene
    crowd: Crowd
    kill_postgres: Callable[[], None]
    start_postgres: Callable[[], None]

    def settled_attempts(self) -> list[Attempt]:
        """All that was sent, each request until its outcome was known."""
        self.crowd.settle(SETTLING_CALLERS, SETTLE_SECONDS_MAX)
        return self.crowd.attempts()

    def audited(self, attempts: Sequence[Attempt]) -> Report:
        """The exactness audit over all that was sent."""
        access = self.scene.access
        history = History(tenant_of(access.api_key), self.scene.goals, list(attempts))
        return asyncio.run(audit(access.database_url, history))


@contextlib.contextmanager
def _stage() -> Iterator[_Stage]:
    with (
        mortal_postgres() as postgres,
        mortal_redis() as redis,
        own_guerdon(postgres.url, redis.url, WORKERS) as access,
    ):
        scene = make_scene(access)
        with crowd_of(scene.target, console) as crowd:
            yield _Stage(scene, crowd, postgres.kill, postgres.start)


def _overload(seconds: float, step_seconds: float, callers_tried: Sequence[int]) -> OverloadReport:
    with _stage() as stage:
        rounds = {n: stage.crowd.run(n, step_seconds) for n in callers_tried}
        attempts = stage.crowd.attempts()
        warm_up_seconds = min(WARM_UP_SECONDS, step_seconds / 2)
        steps = {
            n: see(attempts, began + warm_up_seconds, ended).goodput_per_second
            for n, (began, ended) in rounds.items()
        }
        peak = max(steps.values())
        callers = OVERLOAD_FACTOR * saturating_callers(steps)
        with watching(stage.scene.access.port) as watched:
            began, ended = stage.crowd.run(callers, seconds)
        attempts = stage.settled_attempts()
        report = stage.audited(attempts)
    seen = see(attempts, began + min(WARM_UP_SECONDS, seconds / 2), ended)
    shortfalls = overload_shortfalls(seen, peak, watched, stage.crowd.unguided)
    return OverloadReport(steps, peak, callers, seen, watched, report, shortfalls)


def saturating_callers(steps: dict[int, float]) -> int:
    """The fewest that reach SATURATED_SHARE of the most."""
    peak = max(steps.values())
    return min(callers for callers, found in steps.items() if found >= SATURATED_SHARE * peak)


def overload_shortfalls(seen: Seen, peak: float, watched: Watched, unguided: int) -> list[str]:
    """What did not hold, a sentence each."""
    share = seen.goodput_per_second / peak
    growth = watched.worker_megabytes_max - watched.worker_megabytes_before
    shed_milliseconds = seen.shed_milliseconds[0]
    holds = {
        f"goodput fell to {share:.0%} of the most": share >= GOODPUT_SHARE_MIN,
        "nobody was shed": seen.shed > 0,
        f"{unguided} callers were not told when to come back": unguided == 0,
        f"half of the shed calls took over {shed_milliseconds:.0f} ms": (
            shed_milliseconds <= SHED_MILLISECONDS_MAX
        ),
        f"a worker grew by {growth:.0f} MB": growth <= WORKER_GROWTH_MEGABYTES_MAX,
    }
    return [sentence for sentence, held in holds.items() if not held]


def _outage(
    before_seconds: float, away_seconds: float, recovery_seconds_max: float, callers: int
) -> OutageReport:
    with _stage() as stage:
        began = time.monotonic()
        kill_at = began + WARM_UP_SECONDS + before_seconds
        stage.crowd.begin(callers, kill_at + away_seconds + 2 * recovery_seconds_max)
        sleep_until(kill_at)
        stage.kill_postgres()
        killed_at = time.monotonic()
        sleep_until(killed_at + away_seconds)
        stage.start_postgres()
        back_at = time.monotonic()
        stage.crowd.wait()
        attempts = stage.settled_attempts()
        report = stage.audited(attempts)
    before = see(attempts, began + WARM_UP_SECONDS, kill_at).goodput_per_second
    during = see(attempts, killed_at, back_at)
    recovered = recovered_after(attempts, back_at, recovery_seconds_max, RECOVERED_SHARE * before)
    after = see(attempts, back_at, back_at + recovery_seconds_max)
    shortfalls = []
    if recovered is None:
        shortfalls.append(f"goodput was not back within {recovery_seconds_max:.0f} s")
    if not during.shed:
        shortfalls.append("nobody was told that the database is away")
    return OutageReport(
        before, callers, back_at - killed_at, recovered, during, after, report, shortfalls
    )


def recovered_after(
    attempts: Sequence[Attempt], back_at: float, seconds_max: float, wanted: float
) -> float | None:
    """Seconds after which goodput over a window was as wanted; None when it never was."""
    for second in range(int(seconds_max)):
        begin = back_at + second
        seen = see(attempts, begin, begin + RECOVERED_WINDOW_SECONDS)
        if seen.goodput_per_second >= wanted:
            return float(second)
    return None


def sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def print_seen(name: str, seen: Seen) -> None:
    answered, shed = (
        "/".join(f"{figure:,.0f}" for figure in figures)
        for figures in (seen.answered_milliseconds, seen.shed_milliseconds)
    )
    say(
        f"{name}: {seen.goodput_per_second:,.0f} a second; granted {seen.granted:,}, "
        f"refused {seen.refused:,}, left open {seen.indefinite}; "
        f"milliseconds (median/p99/most) of an answer {answered}, of a shed call {shed}"
    )


def print_overload(report: OverloadReport) -> None:
    """The figures, and what did not hold."""
    rates = ", ".join(f"{callers}: {rate:,.0f}" for callers, rate in report.steps.items())
    share = report.seen.goodput_per_second / report.peak_per_second
    say(f"Overload: callers and answers a second: {rates}.")
    say(f"{report.callers:,} callers: {share:.0%} of the most.")
    print_seen("they saw", report.seen)
    watched = report.watched
    say(
        f"at most {watched.queue_items_max:,} items waited; a worker's memory was "
        f"{watched.worker_megabytes_before:.0f} MB before and {watched.worker_megabytes_max:.0f} "
        "at most"
    )
    print_verdict(report.audit, report.shortfalls)


def print_outage(report: OutageReport) -> None:
    """The figures, and what did not hold."""
    say(
        f"Outage of {report.away_seconds:.0f} s with {report.callers} callers: "
        f"{report.before_per_second:,.0f} answers a second before it, "
        f"back after {report.recovered_after_seconds} s."
    )
    print_seen("while it was away", report.during)
    print_seen("after it", report.after)
    print_verdict(report.audit, report.shortfalls)


def print_verdict(report: Report, shortfalls: Sequence[str]) -> None:
    print_report(report, console)
    for shortfall in shortfalls:
        console.print(f"It did not hold: {shortfall}.", style="red", soft_wrap=True)


def say(text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)


async def run(*, only_outage: bool, only_overload: bool) -> int:
    """The exit code: 0 when both held."""
    passed = True
    if not only_outage:
        say("Finding the most that a server can do, then ten times the callers ...")
        overloaded = await overload()
        print_overload(overloaded)
        passed &= overloaded.passed
    if not only_overload:
        say(f"Postgres is killed and stays away for {OUTAGE_SECONDS:.0f} s ...")
        survived = await outage()
        print_outage(survived)
        passed &= survived.passed
    return 0 if passed else 1


def main() -> int:
    program = "python -m loadtests.faults.overload"
    parser = argparse.ArgumentParser(prog=program, description=__doc__)
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--only-overload", action="store_true", help="without the outage")
    only.add_argument("--only-outage", action="store_true", help="without the overload")
    arguments = parser.parse_args()
    return asyncio.run(
        run(only_outage=arguments.only_outage, only_overload=arguments.only_overload)
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (NoGoError, EmbeddedServerError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
