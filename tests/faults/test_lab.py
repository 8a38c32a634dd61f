"""A short run of the whole lab, as anybody starts it, and the same run judged again."""

import asyncio
import os
import re
import sys
from pathlib import Path

from loadtests import ROOT
from loadtests.faults.record import DUMP_FILE, load_record

SEED = 11
# Seconds under faults: enough for a handful of them. What the minimums want takes longer.
FAULT_SECONDS = 8
RUN_SECONDS_MAX = 240.0
HELD, VACUOUS, USAGE = 0, 3, 2


async def faults(*arguments: str) -> tuple[int, str]:
    """The exit code of `./dev faults` and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "loadtests.faults", *arguments,
        cwd=ROOT, env={**os.environ, "COLUMNS": "160"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(RUN_SECONDS_MAX):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_a_short_run_holds_and_can_be_judged_again(tmp_path: Path) -> None:
    kept, page = tmp_path / "kept", tmp_path / "report.html"
    options = ["--seconds", str(FAULT_SECONDS), "--seed", str(SEED), "--keep", str(kept)]
    code, said = await faults(*options, "--html", str(page))
    # So short a run holds what it looked at, and says that this proves too little.
    assert code in (HELD, VACUOUS), said
    assert f"seed {SEED}" in said
    assert "FAIL" not in said
    assert page.read_text().startswith("<!DOCTYPE html>")
    record = load_record(kept)
    assert record.marks
    assert (kept / DUMP_FILE).stat().st_size
    again, said_again = await faults("--replay", str(kept))
    assert again == code, said_again
    assert invariants_in(said_again) == invariants_in(said)


def invariants_in(said: str) -> list[str]:
    """The lines of the table: what held, and how much was looked at."""
    return re.findall(r"^│.*│$", said, re.MULTILINE)


async def test_what_cannot_be_replayed_is_said(tmp_path: Path) -> None:
    code, said = await faults("--replay", str(tmp_path))
    assert code == USAGE
    assert "is not a kept run" in said
