"""`python -m loadtests.faults.bugs [NAME...]`: seed each bug, and see that it is caught.

First a sound build plays all scenarios. Exit code 1 when a bug escapes or a sound build does not
pass. Everything runs on servers of its own.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from guerdon.embedded import temporary_postgres, temporary_valkey
from guerdon.embedded.temporary import temporary_folder
from loadtests.faults.bugs.build import Bug
from loadtests.faults.bugs.catalogue import BUGS
from loadtests.faults.bugs.trial import opened, try_bug
from loadtests.servers import own_database

console = Console(highlight=False)


def main() -> int:
    bugs = [BUGS[name] for name in parse_arguments().names] or list(BUGS.values())
    with ExitStack() as stack:
        with console.status("starting Postgres and Redis"):
            postgres_url = stack.enter_context(temporary_postgres())
            redis_url = stack.enter_context(temporary_valkey())
        failed = show_sound(bugs, postgres_url, redis_url)
        failed += sum(show_bug(bug, postgres_url, redis_url) for bug in bugs)
    console.print(f"[red]{failed} failed[/red]" if failed else "[green]all caught[/green]")
    return 1 if failed else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.faults.bugs", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BUGS, []], metavar="NAME", help="bugs to try")
    return parser.parse_args()


def show_sound(bugs: Iterable[Bug], postgres_url: str, redis_url: str) -> int:
    """How many scenarios a sound build does not pass."""
    failed = 0
    with own_database(postgres_url) as url, temporary_folder() as folder:
        for name, found in asyncio.run(play_sound(bugs, url, redis_url, folder)).items():
            failed += bool(found)
            verdict = f"[red]found {', '.join(sorted(found))}[/red]" if found else "passes"
            console.print(f"sound build, {name}: {verdict}")
    return failed


async def play_sound(
    bugs: Iterable[Bug], database_url: str, redis_url: str, folder: Path
) -> dict[str, set[str]]:
    """What is found in each scenario without any bug."""
    scenarios = {bug.scenario.__name__: bug.scenario for bug in bugs}
    found = {}
    with console.status("playing a sound build"):
        async with opened(None, database_url, redis_url, folder) as house:
            for name, scenario in scenarios.items():
                findings = await house.play(scenario)
                found[name] = {finding.check for finding in findings if finding.count}
    return found


def show_bug(bug: Bug, postgres_url: str, redis_url: str) -> bool:
    """Whether it escaped."""
    with (
        own_database(postgres_url) as url,
        temporary_folder() as folder,
        console.status(f"{bug.name}: {bug.sentence}"),
    ):
        found = asyncio.run(try_bug(bug, url, redis_url, folder))
    others = ", ".join(sorted(found - {bug.caught_by}))
    if bug.caught_by in found:
        console.print(f"{bug.name}: caught by {bug.caught_by}{others and ', also by '}{others}")
        return False
    console.print(f"[red]{bug.name} escapes {bug.caught_by}[/red]; found {others or 'nothing'}")
    return True


if __name__ == "__main__":
    sys.exit(main())
