"""`./dev check`: everything CI runs but the tests.

Every step runs even when an earlier one failed, so that one run shows all there is to repair.
"""

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from loadtests.bench.go import NoGoError, find_go
from tools import baseline

ROOT = Path(__file__).resolve().parent.parent
PYTHON_SOURCES = ("src", "tests", "tools", "loadtests", "dev")


@dataclass(frozen=True)
class Step:
    """One command, and what to do when it fails. `skip` says why it is not run, if it is not."""

    name: str
    command: tuple[str, ...]
    remedy: str
    skip: str = ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev check", description=__doc__)
    parser.add_argument("only", nargs="*", help="names of the steps to run; all without")
    chosen = set(parser.parse_args().only)
    known = steps()
    if unknown := chosen - {step.name for step in known}:
        parser.error(f"no such step: {', '.join(sorted(unknown))}")
    return run_all([step for step in known if not chosen or step.name in chosen])


def steps() -> list[Step]:
    sources = existing(*PYTHON_SOURCES)
    return [
        Step("lint", ("ruff", "check", *sources), "Run `./dev python -m ruff check --fix`."),
        Step(
            "format",
            ("ruff", "format", "--check", *sources),
            f"Run `./dev python -m ruff format {' '.join(sources)}`.",
        ),
        Step("types", ("mypy", *sources), "Repair the types; an ignore needs its code and why."),
        Step(
            "imports",
            ("lint-imports", "--no-cache"),
            "An import goes against the house's direction: see [tool.importlinter].",
        ),
        proto_step("proto-lint", ("buf", "lint"), "Repair the protos as buf says."),
        breaking_step(),
        Step(
            "migrations",
            (sys.executable, "-m", "tools.lint_migrations"),
            "Repair the migration, or say in the file why the rule does not apply there.",
        ),
        Step(
            "generated",
            (sys.executable, "-m", "tools.gen", "--check"),
            "Run `./dev gen` and commit what it changed.",
        ),
        go_step(),
    ]


def existing(*names: str) -> list[str]:
    return [name for name in names if (ROOT / name).exists()]


def proto_step(name: str, command: tuple[str, ...], remedy: str) -> Step:
    return Step(name, command, remedy, "" if existing("buf.yaml") else "there are no protos")


def breaking_step() -> Step:
    reference = baseline.find()
    command = ("buf", "breaking", "--against", f".git#ref={reference}")
    remedy = (
        f"Clients built from {reference} would break: add instead of changing. Where the break is "
        f"meant, set {baseline.VARIABLE} to a commit that has it."
    )
    skip = "" if reference else "no earlier protos to compare with"
    return Step("proto-breaking", command, remedy, skip)


def go_step() -> Step:
    command = (sys.executable, "-m", "tools.lint_go")
    try:
        find_go()
    except NoGoError:
        return Step("go", command, "", "there is no Go")
    return Step(
        "go", command, "Run gofmt -w in loadtests/bench/generator, and repair what vet says."
    )


def run_all(chosen: list[Step]) -> int:
    start = time.monotonic()
    failed = [step.name for step in chosen if not run_step(step)]
    seconds = time.monotonic() - start
    if failed:
        print(f"\n{len(failed)} of {len(chosen)} checks failed in {seconds:.1f} s:", *failed)
        return 1
    print(f"\nAll {len(chosen)} checks passed in {seconds:.1f} s.")
    return 0


def run_step(step: Step) -> bool:
    if step.skip:
        print(f"skip  {step.name:16} {step.skip}")
        return True
    start = time.monotonic()
    result = subprocess.run(
        step.command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    passed = result.returncode == 0
    seconds = time.monotonic() - start
    print(f"{'ok' if passed else 'FAIL':4}  {step.name:16} {seconds:5.1f} s", flush=True)
    if not passed:
        print(f"\n{result.stdout.rstrip()}\n\n      -> {step.remedy}\n", flush=True)
    return passed


if __name__ == "__main__":
    sys.exit(main())
