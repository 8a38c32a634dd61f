"""`./dev bench`: Guerdon's throughput as ratios against its rivals, measured in one run.

A figure of a noisy machine means something only beside another of the same minute. So the rounds
take turns, each ratio is one of neighbouring rounds, and the median over all turns counts. The run
ends with the exactness audit of all that Guerdon granted, and fails when that fails.
"""

import argparse
import asyncio
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console

from guerdon.embedded import EmbeddedServerError
from loadtests.bench.audits import Audited, audit_all
from loadtests.bench.document import document_of
from loadtests.bench.fleet import fleet_of
from loadtests.bench.go import NoGoError, generator_program
from loadtests.bench.machine import machine_of
from loadtests.bench.measure import measure
from loadtests.bench.page import write_page
from loadtests.bench.plan import Plan, plan_of
from loadtests.bench.report import print_audits, print_document
from loadtests.bench.results import Document, write_json
from loadtests.bench.stage import stage_of
from loadtests.bench.targets import Surprise, prove_answers, targets_of

console = Console(stderr=True, highlight=False)


def main() -> int:
    arguments = parse_arguments()
    plan = plan_of(arguments.quick, arguments.turns, arguments.seconds)
    document, audited = run(plan)
    print_audits(audited, console)
    print_document(document, Console(highlight=False))
    if arguments.json:
        write_json(document, arguments.json)
        console.print(f"Every figure is in {arguments.json}.")
    if arguments.html:
        write_page(msgspec.to_builtins(document), arguments.html)
        console.print(f"The page is {arguments.html}.")
    missed = [figure.title for figure in document.judged.values() if not figure.met_first]
    if missed and arguments.require_first:
        console.print(f"[red]Below the first target:[/red] {', '.join(missed)}.", soft_wrap=True)
    return 1 if not audited.passed or (missed and arguments.require_first) else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three minutes; less exact")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every figure there")
    parser.add_argument("--html", metavar="FILE", type=Path, help="write a page with plots there")
    parser.add_argument(
        "--require-first", action="store_true", help="fail when a first target is not reached"
    )
    # For a look at the benchmark itself: its figures mean nothing then.
    parser.add_argument("--turns", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for file in filter(None, (arguments.json, arguments.html)):
        if not file.absolute().parent.is_dir():
            parser.error(f"{file} cannot be written: there is no folder {file.parent}")
    return arguments


def run(plan: Plan) -> tuple[Document, Audited]:
    """From nothing to the document. Raises NoGoError, EmbeddedServerError and Surprise."""
    # Without it everything else would be started in vain.
    generator_program(console)
    started_at, began = datetime.now(UTC), time.monotonic()
    with stage_of(plan, console) as stage, fleet_of(stage.processes, console) as fleet:
        machine = asyncio.run(machine_of(stage.main.access.database_url, stage.redis_url))
        prove_answers(stage)
        targets = targets_of(stage)
        measured = measure(fleet, targets, plan, stage, console)
        with console.status("Auditing every redemption ..."):
            audited = asyncio.run(audit_all(fleet, targets, stage))
    took_seconds = time.monotonic() - began
    return document_of(plan, measured, audited, machine, started_at, took_seconds), audited


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (NoGoError, EmbeddedServerError, Surprise) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
