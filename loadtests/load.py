"""`./dev load`: many customers at once against every kind of limit, then the exactness audit.

It runs against the server that `./dev run` started in this checkout, against a given address, or
with --own-server against one of its own. Three times the uses of each limit are asked for, with
retries, twins and lost answers mixed in; it fails unless each limit is hit exactly.
"""

import argparse
import asyncio
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import msgspec
from rich.console import Console

from guerdon.cli.state import read_demo_access
from guerdon.embedded import running_servers
from guerdon.embedded.temporary import temporary_folder
from loadtests import ROOT
from loadtests.admin import admin_of, tenant_of
from loadtests.audit import Report, audit, print_report
from loadtests.bench.cpu import listeners, tree_seconds
from loadtests.history import LIMIT_REASONS, Attempt, History, read_attempts
from loadtests.load_orders import Order, Result
from loadtests.load_plan import LoadPlan, make_plan
from loadtests.servers import Access, execute, own_databases, own_guerdon

EXIT_USAGE = 2
OWN_WORKERS = 2
# Seconds a run may take; attempts that are open then are undecided, and fail the audit.
SECONDS_MAX_QUICK = 90.0
SECONDS_MAX = 300.0
# Seconds for the clients' process to end after the time that it was given.
GRACE_SECONDS = 60.0
# What a run must have met to prove anything.
LEAST_OF = {"OK": 1000, "replayed": 100, "without answer": 50, "refused again": 50} | dict.fromkeys(
    LIMIT_REASONS, 100
)
# The least part of the work that each worker of the own server must have done.
WORKER_SHARE_MIN = 0.2

console = Console(highlight=False)


def main() -> int:
    arguments = parse_arguments()
    with ExitStack() as stack:
        access = stack.enter_context(access_of(arguments))
        seed = arguments.seed if arguments.seed is not None else random.randrange(1_000_000)
        console.print(f"Load on {access.address}, seed {seed}.")
        folder = stack.enter_context(temporary_folder())
        try:
            prove_usable(access)
            return run(arguments, access, random.Random(seed), folder)
        except grpc.FutureTimeoutError:
            text = f"Nobody answers at {access.address}."
        except grpc.RpcError as error:
            told: Any = error
            text = f"{access.address} cannot be used: {told.code().name}: {told.details()}"
        except Unusable as error:
            text = str(error)
        console.print(text, markup=False, style="red", soft_wrap=True)
        return EXIT_USAGE


class Unusable(Exception):
    """What was given cannot be worked with; the text says what."""


def prove_usable(access: Access) -> None:
    """Before the load: the audit after it would come too late to say so."""
    try:
        tenant_of(access.api_key)
        asyncio.run(execute(access.database_url, "select from guerdon.redemptions limit 1"))
    except ValueError as error:
        raise Unusable(str(error)) from None
    except (OSError, asyncpg.PostgresError) as error:
        raise Unusable(f"The database of the audit cannot be read: {error}") from None


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev load", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="5,000 attempts, under a minute")
    parser.add_argument("--own-server", action="store_true", help="start one, with two workers")
    parser.add_argument("--address", help="host:port, else GUERDON_ADDRESS or that of ./dev run")
    parser.add_argument("--key", help="API key, else GUERDON_API_KEY or the demo tenant's")
    parser.add_argument("--database-url", help="for the audit, else DATABASE_URL or ./dev run's")
    parser.add_argument("--users", type=int, help="clients, each with a connection of its own")
    parser.add_argument("--seed", type=int, help="to ask again in the same order")
    return parser.parse_args()


@contextmanager
def access_of(arguments: argparse.Namespace) -> Iterator[Access]:
    """The server to load: one of its own, or one that runs already."""
    if arguments.own_server:
        console.print(f"Starting Postgres, Redis and a server with {OWN_WORKERS} workers ...")
        with (
            own_databases() as (database_url, redis_url),
            own_guerdon(database_url, redis_url, OWN_WORKERS) as access,
        ):
            yield access
        return
    yield running_access(arguments)


def running_access(arguments: argparse.Namespace) -> Access:
    """What is not given is taken from the environment, then from this checkout's ./dev run."""
    demo, servers = read_demo_access(), running_servers()
    address = arguments.address or os.environ.get("GUERDON_ADDRESS") or (demo and demo.address)
    key = arguments.key or os.environ.get("GUERDON_API_KEY") or (demo and demo.api_key)
    url = arguments.database_url or os.environ.get("DATABASE_URL")
    url = url or (servers and servers.database_url)
    if not (address and key and url):
        console.print(
            "No server is known. Start one with `./dev run`, give --address, --key and "
            "--database-url, or let --own-server start one for this test.",
            soft_wrap=True,
        )
        sys.exit(EXIT_USAGE)
    return Access(address, key, url)


def run(arguments: argparse.Namespace, access: Access, chance: random.Random, folder: Path) -> int:
    """The exit code: 0 when every limit was hit exactly, and by enough to prove something."""
    users = arguments.users or (60 if arguments.quick else 200)
    with admin_of(access.address, access.api_key) as admin:
        plan = make_plan(admin, 1 if arguments.quick else 10, chance)
        try:
            console.print(f"{len(plan.wishes):,} attempts by {users} clients ...")
            before = worker_seconds(access)
            attempts, result = send(access, plan, users, arguments.quick, folder)
            shares = worker_shares(before, worker_seconds(access))
            history = History(tenant_of(access.api_key), plan.goals, attempts)
            report = asyncio.run(audit(access.database_url, history))
        finally:
            for goal in plan.goals:
                admin.cancel_offer(goal.offer_id)
    print_report(report, console)
    print_result(result)
    shortfalls = find_shortfalls(attempts)
    if arguments.own_server:
        shortfalls += skewed_shares(shares)
    return verdict(report, shortfalls)


def send(
    access: Access, plan: LoadPlan, users: int, quick: bool, folder: Path
) -> tuple[list[Attempt], Result]:
    """Locust works in a process of its own, because it patches the standard library."""
    order = Order(
        address=access.address,
        api_key=access.api_key,
        users=users,
        seconds_max=SECONDS_MAX_QUICK if quick else SECONDS_MAX,
        wishes=plan.wishes,
        attempts_file=str(folder / "attempts"),
    )
    done = subprocess.run(
        [sys.executable, "-m", "loadtests.users"],
        cwd=ROOT,
        input=msgspec.json.encode(order),
        stdout=subprocess.PIPE,
        timeout=order.seconds_max + GRACE_SECONDS,
        check=True,
    )
    return read_attempts(Path(order.attempts_file)), msgspec.json.decode(done.stdout, type=Result)


def worker_seconds(access: Access) -> dict[int, float]:
    """CPU seconds of each process that listens there; empty when that is another machine."""
    return {pid: tree_seconds(pid) for pid in listeners(access.port)}


def worker_shares(before: dict[int, float], after: dict[int, float]) -> list[float]:
    """Each worker's part of the work, by its CPU time."""
    used = [after[pid] - before.get(pid, 0.0) for pid in after]
    return sorted((seconds / (sum(used) or 1.0) for seconds in used), reverse=True)


def skewed_shares(shares: list[float]) -> list[str]:
    """A load on one worker alone proves little about two."""
    if len(shares) == OWN_WORKERS and min(shares) >= WORKER_SHARE_MIN:
        return []
    told = "/".join(f"{share:.0%}" for share in shares)
    return [f"the {OWN_WORKERS} workers did {told} of the work"]


def find_shortfalls(attempts: list[Attempt]) -> list[str]:
    """Prints what the run met, and answers of what it met too little."""
    met: Counter[str] = Counter()
    for attempt in attempts:
        refusals = 0
        for answer in attempt.answers:
            refusals += answer.is_definite and not answer.is_grant
            met["OK" if answer.is_grant else answer.reason or "without answer"] += 1
            met["replayed"] += answer.replayed
        met["refused again"] += refusals > 1
    console.print("Met: " + ", ".join(f"{n:,} {kind}" for kind, n in met.items()), soft_wrap=True)
    return [
        f"only {met[kind]:,} {kind}, {least:,} are wanted"
        for kind, least in LEAST_OF.items()
        if met[kind] < least
    ]


def print_result(result: Result) -> None:
    console.print(
        f"{result.calls:,} calls in {result.seconds:.0f} s; an OK took "
        f"{result.median_milliseconds:.0f} ms in the median, "
        f"{result.p99_milliseconds:.0f} ms at most in 99 of 100 cases.",
        soft_wrap=True,
    )


def verdict(report: Report, shortfalls: list[str]) -> int:
    for shortfall in shortfalls:
        console.print(f"The run proves too little: {shortfall}.", style="red", soft_wrap=True)
    if report.passed and not shortfalls:
        console.print("Every limit was hit exactly.", style="green")
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
