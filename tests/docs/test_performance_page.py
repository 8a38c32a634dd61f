"""What the page about performance says of rows, targets and options is what the benchmark does."""

import re

from loadtests.bench.figures import FIRST_FIFTH, MEMORY, P99_AT_50, RATIOS
from loadtests.bench.plan import CUSTOMERS, plan_of
from loadtests.bench.rows import ROWS
from tests.docs.pages import ROOT, rows, section

PAGE = ROOT / "docs" / "performance.md"
JUDGED = {f"ratios.{name}": goal for name, goal in RATIOS.items()} | {
    "ratios.first_fifth_minute": FIRST_FIFTH,
    "latency_ms.p99_at_50": P99_AT_50,
    "memory_mb.worker": MEMORY,
}


def test_every_row_is_told_by_its_title() -> None:
    listed = {cells[0]: cells[1] for cells in rows(section(PAGE, "The rows"))}
    assert listed == {name: kind.title for name, kind in ROWS.items()}


def test_every_target_is_told() -> None:
    listed = {cells[0].strip("`"): cells[1:] for cells in rows(section(PAGE, "The targets"))}
    assert listed == {
        name: [" : ".join(goal.rows), f"{goal.first:g}", f"{goal.goal:g}"]
        for name, goal in JUDGED.items()
    }


def test_what_the_page_says_of_the_plan_is_so() -> None:
    text, plan = PAGE.read_text(), plan_of(True)
    assert f"{plan.in_flight} calls in flight on {plan.connections} connections" in text
    assert f"a random customer of {CUSTOMERS:,}" in text.replace("\n", " ")
    assert f"windows of {plan.window_seconds:g} seconds instead of minutes" in text


def test_every_option_that_the_page_names_exists() -> None:
    source = (ROOT / "loadtests" / "bench" / "__main__.py").read_text()
    named = set(re.findall(r"(?<=[ `])--(?:quick|json|html|require-first)", PAGE.read_text()))
    assert len(named) == 4
    assert all(f'"{option}"' in source for option in named)
