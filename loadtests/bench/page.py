"""The benchmark's one-page report: what `--json` wrote, with its figures drawn."""

from pathlib import Path
from typing import Any

import msgspec

from loadtests.bench.plots import (
    batch_chart,
    components_of,
    cost_chart,
    cpu_of,
    latency_chart,
    throughput_chart,
    timeline_chart,
)
from loadtests.bench.results import Document, Judged, Row
from loadtests.pages.charts import house_style
from loadtests.pages.render import render, spoken, write_whole

SCALE_PIXELS = 150
# By the group of a judged figure; ratios have none.
UNITS = {"latency_ms": "ms", "memory_mb": "MB"}
# Room right of the farthest thing on a scale.
SCALE_MARGIN = 1.06


class Scale(msgspec.Struct, frozen=True):
    """A judged figure's places on a line from 0, in pixels."""

    lowest: float
    median: float
    highest: float
    first: float
    goal: float


def write_page(document: dict[str, Any], path: Path) -> None:
    """Writes one HTML file that needs nothing else. `document` is a results.Document as builtins;
    msgspec.ValidationError when it is not."""
    run = msgspec.convert(document, Document)
    with house_style():
        page = render("bench/page.html", **contents(run))
    write_whole(path, page)


def contents(run: Document) -> dict[str, Any]:
    """What the template shows."""
    single = {name: row for name, row in run.rows.items() if row.items_per_call == 1}
    hot = run.rows.get("hot")
    return {
        "run": run,
        "headline": headline(run),
        "titles": titles(run),
        "units": {name: UNITS.get(name.partition(".")[0], "") for name in run.judged},
        "scales": {name: scale_of(found) for name, found in run.judged.items()},
        "components": components_of(run.rows),
        "cpu_of": cpu_of,
        "left_out": [row.title for name, row in run.rows.items() if name not in single],
        "latency_chart": latency_chart(run.curves.open_loop, run.latency_ms.get("p99_at_50")),
        "throughput_chart": throughput_chart(single),
        "batch_chart": batch_chart(
            run.curves.batch_sizes, hot.items_per_second.median if hot else None
        ),
        "timeline_chart": timeline_chart(run.curves.timeline),
        "cost_chart": cost_chart(run.rows),
    }


def scale_of(found: Judged) -> Scale:
    """So that first, goal and every turn fit."""
    farthest = max(found.highest, found.target_first, found.target_goal, 1e-9)
    unit = SCALE_PIXELS / (farthest * SCALE_MARGIN)
    return Scale(
        lowest=round(found.lowest * unit, 1),
        median=round(found.median * unit, 1),
        highest=round(found.highest * unit, 1),
        first=round(found.target_first * unit, 1),
        goal=round(found.target_goal * unit, 1),
    )


def headline(run: Document) -> str:
    """How many of the targets were met."""
    judged = run.judged.values()
    first = sum(found.met_first for found in judged)
    goals = sum(found.met_goal for found in judged)
    all_or_some = "All" if first == len(judged) else f"{first} of"
    return f"{all_or_some} {len(judged)} measures reach their first target, {goals} their goal"


def titles(run: Document) -> dict[str, str]:
    """What each section shows, in a sentence with the figures of this run."""
    return {
        "throughput": throughput_title(run),
        "latency": latency_title(run),
        "batch": batch_title(run),
        "timeline": timeline_title(run),
        "cost": cost_title(run.rows),
        "audit": audit_title(run),
    }


def throughput_title(run: Document) -> str:
    hot = run.rows.get("hot")
    if hot is None:
        return "Calls a second of each row"
    ratios = {"hot_echo": " of an empty call", "hot_textbook": " times the textbook transaction"}
    known = [f"{run.ratios[n].median:.2f}{text}" for n, text in ratios.items() if n in run.ratios]
    rate = f"One hot offer takes {spoken(hot.items_per_second.median)} redemptions a second"
    return ": ".join([rate, ", ".join(known)] if known else [rate])


def latency_title(run: Document) -> str:
    loops = run.curves.open_loop
    if not loops:
        return "Latency by percentile: no open loop was run"
    calmest = min(loops, key=lambda loop: loop.load_percent)
    took = spoken(calmest.latency_ms.p99)
    return f"At {calmest.load_percent} % of saturation, 99 of 100 calls take {took} ms at most"


def batch_title(run: Document) -> str:
    sizes = run.curves.batch_sizes
    if not sizes:
        return "Throughput by batch size: none was measured"
    best = max(sizes, key=lambda size: size.redemptions_per_second)
    return f"In batches of {best.items}: {spoken(best.redemptions_per_second)} redemptions a second"


def timeline_title(run: Document) -> str:
    found = run.ratios.get("first_fifth_minute")
    if found is None:
        return "Throughput from an empty database on"
    return f"From an empty database, the first stretch reaches {found.median:.2f} of the fifth"


def cost_title(rows: dict[str, Row]) -> str:
    if "hot" not in rows or "echo" not in rows:
        return "CPU by component"
    hot, echo = cpu_of(rows["hot"]), cpu_of(rows["echo"])
    return f"A Redeem costs {spoken(hot)} µs of CPU in all, an empty call {spoken(echo)} µs"


def audit_title(run: Document) -> str:
    violations = sum(sum(found.violations.values()) for found in run.audit.databases)
    over = f"in {run.audit.redemptions:,} redemptions"
    if run.audit.passed:
        return f"The exactness audit found nothing wrong {over}"
    return f"The exactness audit found {violations:,} violations {over}"
