"""`./dev faults`: break everything under load, then prove that nothing was counted wrongly.

Starts Postgres, two Redis, servers and a proxy of its own, breaks them by a schedule that --seed
repeats, settles every open request, and checks the invariants. Exit codes: 0 all held; 1 one did
not; 2 wrong usage; 3 the run met too little to prove anything; 4 the lab itself failed.
"""

import argparse
import asyncio
import os
import platform
import random
import sys
import traceback
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import msgspec
from rich.console import Console

from guerdon.embedded.binaries import find_postgres
from guerdon.embedded.temporary import temporary_folder
from loadtests.faults.bugs.build import build
from loadtests.faults.bugs.catalogue import BUGS
from loadtests.faults.failpoints import FAILPOINTS_VARIABLE, install_waiting_redeem
from loadtests.faults.intents import read_told
from loadtests.faults.keep import dump, keep, restored
from loadtests.faults.page import write_page
from loadtests.faults.record import (
    BUILD_FOLDER,
    DUMP_FILE,
    LOGS_FOLDER,
    POINTS_FOLDER,
    RunRecord,
    history_files,
    load_record,
)
from loadtests.faults.report import RunReport
from loadtests.faults.run import run_lab
from loadtests.faults.schedule import Schedule
from loadtests.faults.site import ServerPlan, SitePlan, open_site
from loadtests.faults.terminal import Progress, print_report, print_schedule
from loadtests.faults.tiers import (
    NIGHTLY,
    QUICK,
    SERVERS,
    TENANTS,
    Tier,
    kills_schedule,
    kills_tier,
    schedule_of,
)
from loadtests.faults.verdict import judge

HELD, BROKEN, USAGE, VACUOUS, FAILED = 0, 1, 2, 3, 4
COMMAND = "./dev faults"
KEPT_RUNS = Path(".dev") / "faults"

console = Console(highlight=False)


def main() -> int:
    arguments = parse_arguments()
    if arguments.replay is not None:
        return replay(arguments)
    seed = arguments.seed if arguments.seed is not None else random.randrange(1_000_000)
    tier, schedule = plan_of(arguments, seed)
    print_schedule(console, tier.name, schedule)
    with temporary_folder() as folder:
        (folder / LOGS_FOLDER).mkdir()
        kept = arguments.keep or KEPT_RUNS / f"seed-{seed}-{folder.name[-6:]}"
        try:
            report = asyncio.run(break_and_judge(tier, schedule, folder, arguments))
        except Exception:
            traceback.print_exc()
            keep_and_tell(folder, kept)
            return FAILED
        code = exit_code(report)
        if code != HELD or arguments.keep is not None:
            keep_and_tell(folder, kept)
            report = msgspec.structs.replace(report, replay_command=f"{COMMAND} --replay {kept}")
        write_html(report, arguments.html)
        return code


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", action="store_true", help="every fault once or so (the default)")
    length.add_argument("--nightly", action="store_true", help="an hour of every fault")
    length.add_argument("--kills", type=int, metavar="N", help="N kill -9 of servers and more")
    length.add_argument("--seconds", type=float, metavar="N", help="N seconds of random faults")
    length.add_argument("--replay", type=Path, metavar="FOLDER", help="judge a kept run again")
    parser.add_argument(
        "--bug", choices=sorted(BUGS), metavar="BUG", default="", help="servers with this bug"
    )
    parser.add_argument("--seed", type=int, help="the same schedule again")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep a good run as well")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the report as a page")
    arguments = parser.parse_args()
    if arguments.kills is not None and arguments.kills < 1:
        parser.error("--kills takes a number from 1 on")
    if arguments.seconds is not None and arguments.seconds <= 0:
        parser.error("--seconds takes a number above 0")
    if arguments.keep is not None and arguments.keep.exists():
        parser.error(f"{arguments.keep} exists: name another folder, or remove it first")
    return arguments


def plan_of(arguments: argparse.Namespace, seed: int) -> tuple[Tier, Schedule]:
    if arguments.kills is not None:
        tier = kills_tier(arguments.kills)
        return tier, kills_schedule(tier, arguments.kills, seed)
    tier = NIGHTLY if arguments.nightly else QUICK
    if arguments.seconds is not None:
        name = f"seconds {arguments.seconds:g}"
        tier = msgspec.structs.replace(QUICK, name=name, seconds=arguments.seconds)
    return tier, schedule_of(tier, seed)


async def break_and_judge(
    tier: Tier, schedule: Schedule, folder: Path, arguments: argparse.Namespace
) -> RunReport:
    """The whole run; the database is dumped before anything is judged."""
    with Progress(console) as progress:
        progress.tell("starting Postgres, Redis and servers", 0.0)
        async with open_site(folder / LOGS_FOLDER, site_plan(folder, arguments.bug)) as site:
            if not arguments.bug:
                await make_reachable(site.database_url)
            record = await run_lab(
                site,
                site.api_keys,
                tier.name,
                schedule,
                folder,
                progress.tell,
                bug=arguments.bug,
                attempts_per_second=tier.attempts_per_second,
            )
            progress.tell("dumping the database", 0.9)
            await asyncio.to_thread(dump, site.database_url, folder)
            progress.tell("checking the invariants", 0.95)
            report = await asyncio.to_thread(judged, record, folder, site.database_url)
    print_report(console, report)
    length = f"--kills {arguments.kills}" if arguments.kills else f"--{tier.name}"
    bug = f" --bug {arguments.bug}" if arguments.bug else ""
    repeat = f"{COMMAND} {length}{bug} --seed {schedule.seed}"
    return msgspec.structs.replace(report, repeat_command=repeat, machine=machine())


def machine() -> dict[str, str]:
    """What the run's figures depend on."""
    return {
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "Postgres": str(find_postgres().major),
    }


def site_plan(folder: Path, bug: str) -> SitePlan:
    """Servers that look at the run's failpoints, of a copy of the source: with the bug if one is
    named, and in any case out of reach of whoever edits the source meanwhile."""
    points = folder / POINTS_FOLDER
    points.mkdir()
    server = ServerPlan(
        source=build(BUGS.get(bug), folder / BUILD_FOLDER),
        variables={FAILPOINTS_VARIABLE: str(points)},
    )
    return SitePlan(servers=(server,) * SERVERS, tenants=TENANTS)


async def make_reachable(database_url: str) -> None:
    """K3 is inside the locking function, which must wait there when it is told to."""
    owner = await asyncpg.connect(database_url)
    try:
        await install_waiting_redeem(owner)
    finally:
        await owner.close()


def judged(record: RunRecord, folder: Path, database_url: str) -> RunReport:
    return judge(record, read_told(history_files(folder)), database_url)


def replay(arguments: argparse.Namespace) -> int:
    """Judge a kept run by its history and its dump."""
    folder: Path = arguments.replay
    try:
        record = load_record(folder)
    except (FileNotFoundError, msgspec.MsgspecError) as error:
        console.print(f"{folder} is not a kept run: {error}", style="red", soft_wrap=True)
        return USAGE
    console.print(f"Judging the run of {record.began}, seed {record.schedule.seed}, again ...")
    with ExitStack() as stack:
        database_url = stack.enter_context(restored(folder))
        report = judged(record, folder, database_url)
    print_report(console, report)
    write_html(report, arguments.html)
    return exit_code(report)


def exit_code(report: RunReport) -> int:
    if report.violations or report.ambiguity.unresolved:
        return BROKEN
    return VACUOUS if report.is_vacuous else HELD


def write_html(report: RunReport, file: Path | None) -> None:
    if file is None:
        return
    write_page(report, file)
    console.print(f"The report is in {file}.", soft_wrap=True)


def keep_and_tell(folder: Path, target: Path) -> None:
    keep(folder, target)
    told = f"History, logs and dump are in {target}. Judge them again: {COMMAND} --replay {target}"
    if not (target / DUMP_FILE).exists():
        told = f"The run did not come to its judgement. Its logs are in {target / LOGS_FOLDER}."
    console.print(told, soft_wrap=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
