"""`./dev bench`: Guerdon's throughput as ratios against its rivals, measured in one run.

A figure of a noisy machine means something only beside another of the same minute. So the rounds
take turns, each ratio is one of neighbouring rounds, and the median over all turns counts. The run
ends with the exactness audit of all that Guerdon granted, and fails when that fails.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID

import asyncpg
from rich.console import Console
from rich.progress import track
from uuid_utils.compat import uuid7

from loadtests.admin import admin_of, tenant_of
from loadtests.audit import Report, audit, print_report
from loadtests.bench.cpu import listeners_of
from loadtests.bench.fleet import CONNECTIONS, IN_FLIGHT, Fleet, Measured, fleet_of
from loadtests.bench.go import NoGoError
from loadtests.bench.orders import Target
from loadtests.bench.report import Outcome, Plan, print_outcome, write_json
from loadtests.bench.rivals.methods import ECHO, REDEEM, TEXTBOOK
from loadtests.bench.rivals.textbook import URL_VARIABLE
from loadtests.bench.scene import (
    offer_with_rules,
    prepare_guerdon,
    prepare_textbook,
    redeem_target,
)
from loadtests.history import Goal, History
from loadtests.servers import Access, own_databases, own_guerdon, own_rival

# The order in which the measured rows take turns.
ROWS = ("echo", "textbook", "hot")
SOLD_OUT = "sold out"
CUSTOMERS = 10_000
# Limits that are looked at for every call, and never reached while throughput is measured.
TOTAL_LIMIT = 2_000_000_000
PER_CUSTOMER_LIMIT = 1_000_000
# Those of the offer that is asked for three times as often as it may be used.
SCARCE_TOTAL_LIMIT = 1_000
SCARCE_PER_CUSTOMER_LIMIT = 2
SCARCE_DEMAND = 3

SETTINGS_QUERY = """
    select name, setting from pg_settings
    where name in ('fsync', 'synchronous_commit', 'full_page_writes', 'server_version',
                   'shared_buffers', 'max_wal_size')
"""

console = Console(stderr=True, highlight=False)


def main() -> int:
    plan = parse_arguments()
    with ExitStack() as stack:
        console.print("Starting Postgres, Redis, the server and its rivals ...")
        database_url, redis_url = stack.enter_context(own_databases())
        access = stack.enter_context(own_guerdon(database_url, redis_url, plan.workers))
        postgres_settings = asyncio.run(read_settings(database_url))
        console.print(f"Pushing facts of {CUSTOMERS:,} customers ...")
        customers = [uuid7() for _ in range(CUSTOMERS)]
        with admin_of(access.address, access.api_key) as admin:
            prepare_guerdon(admin, customers)
            hot = admin.create_offer(offer_with_rules(TOTAL_LIMIT, PER_CUSTOMER_LIMIT))
            scarce = admin.create_offer(
                offer_with_rules(SCARCE_TOTAL_LIMIT, SCARCE_PER_CUSTOMER_LIMIT)
            )
        limits = (TOTAL_LIMIT, PER_CUSTOMER_LIMIT)
        asyncio.run(prepare_textbook(database_url, hot, customers, *limits))
        targets = stack.enter_context(all_targets(plan, access, customers, hot, scarce))
        roots = {"postgres": listeners_of(database_url), "redis": listeners_of(redis_url)}
        fleet = stack.enter_context(fleet_of(roots, console))
        for target in targets:
            fleet.connect(target, plan.connections)
        rounds = measure(fleet, plan)
        console.print(f"Asking {SCARCE_DEMAND} times for each of {SCARCE_TOTAL_LIMIT:,} uses ...")
        fleet.send(SOLD_OUT, SCARCE_TOTAL_LIMIT * SCARCE_DEMAND, plan.in_flight)
        console.print("Auditing ...")
        goals = [Goal(hot, "hot"), Goal(scarce, SOLD_OUT, SCARCE_TOTAL_LIMIT)]
        report = audit_all(fleet, access, goals)
    outcome = Outcome(plan, rounds, postgres_settings)
    print_report(report, console)
    print_outcome(outcome, Console(highlight=False))
    if plan.json_file:
        write_json(outcome, report, Path(plan.json_file))
        console.print(f"Every figure is in {plan.json_file}.")
    return 0 if report.passed else 1


def parse_arguments() -> Plan:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under three minutes; less exact")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    parser.add_argument("--workers", type=int, default=2, help="processes of each server")
    parser.add_argument("--connections", type=int, default=CONNECTIONS, help="to each server")
    parser.add_argument("--in-flight", type=int, default=IN_FLIGHT, help="calls, over all of them")
    parser.add_argument("--turns", type=int, help="rounds of each row")
    parser.add_argument("--seconds", type=float, help="of one round")
    given = parser.parse_args()
    return Plan(
        quick=given.quick,
        json_file=given.json,
        workers=given.workers,
        connections=given.connections,
        in_flight=given.in_flight,
        turns=given.turns or (5 if given.quick else 15),
        seconds=given.seconds or (4.0 if given.quick else 8.0),
    )


async def read_settings(database_url: str) -> dict[str, str]:
    """What of Postgres' configuration decides how much a commit costs."""
    connection = await asyncpg.connect(database_url)
    try:
        return {row["name"]: row["setting"] for row in await connection.fetch(SETTINGS_QUERY)}
    finally:
        await connection.close()


@contextmanager
def all_targets(
    plan: Plan, access: Access, customers: list[UUID], hot: UUID, scarce: UUID
) -> Iterator[list[Target]]:
    """Starts the rivals. Every target gets the same request with the same metadata."""
    textbook_variables = {URL_VARIABLE: access.database_url}
    with (
        own_rival("echo", plan.workers, {}) as echo,
        own_rival("textbook", plan.workers, textbook_variables) as textbook,
    ):
        key = access.api_key
        yield [
            redeem_target("echo", f"127.0.0.1:{echo}", ECHO, key, customers, hot),
            redeem_target("textbook", f"127.0.0.1:{textbook}", TEXTBOOK, key, customers, hot),
            redeem_target("hot", access.address, REDEEM, key, customers, hot),
            redeem_target(SOLD_OUT, access.address, REDEEM, key, customers, scarce),
        ]


def measure(fleet: Fleet, plan: Plan) -> dict[str, list[Measured]]:
    """Rounds by row; those of one number are neighbours in time."""
    for row in ROWS:
        fleet.closed_loop(row, 0.5, plan.in_flight)
    rounds: dict[str, list[Measured]] = {row: [] for row in ROWS}
    for _ in track(range(plan.turns), "Measuring", console=console, transient=True):
        for row in ROWS:
            rounds[row].append(fleet.closed_loop(row, plan.seconds, plan.in_flight))
        told = ", ".join(f"{row} {rounds[row][-1].calls_per_second:,.0f}/s" for row in ROWS)
        console.print(f"  {told}")
    return rounds


def audit_all(fleet: Fleet, access: Access, goals: list[Goal]) -> Report:
    """Everything that was ever sent to Guerdon's offers, held against their rows."""
    attempts = [*fleet.attempts("hot"), *fleet.attempts(SOLD_OUT)]
    history = History(tenant_of(access.api_key), goals, attempts)
    return asyncio.run(audit(access.database_url, history))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except NoGoError as error:
        sys.exit(str(error))
