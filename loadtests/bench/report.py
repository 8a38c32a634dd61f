"""What a benchmark run found: the ratios that count, and the figures behind them."""

import os
import platform
import statistics
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from loadtests.audit import Report
from loadtests.bench.fleet import Measured

# Ratio -> the two rows it compares, and the least that is wanted first and in the end.
RATIOS: dict[str, tuple[str, str, float, float]] = {
    "hot_echo": ("hot", "echo", 0.65, 1.0),
    "hot_textbook": ("hot", "textbook", 6.0, 10.0),
}
PACKAGES = ("guerdon", "grpcio", "protobuf", "asyncpg", "uvloop")
# Component -> its heading in the table.
COMPONENTS = {"server": "server", "postgres": "pg", "redis": "redis", "generator": "client"}
MICROSECONDS = 1_000_000


class Plan(msgspec.Struct, frozen=True):
    """How a run measures. `connections` are to each server, `in_flight` over all of them."""

    quick: bool
    json_file: str | None
    workers: int
    connections: int
    in_flight: int
    turns: int
    seconds: float


class Outcome(msgspec.Struct, frozen=True):
    """Rounds by row; those of one number were neighbours in time."""

    plan: Plan
    rounds: dict[str, list[Measured]]
    postgres: dict[str, str]

    def ratio(self, name: str) -> dict[str, Any]:
        """Median over the turns, with the smallest and the largest."""
        row, rival, first, goal = RATIOS[name]
        pairs = zip(self.rounds[row], self.rounds[rival], strict=True)
        ratios = [one.calls_per_second / other.calls_per_second for one, other in pairs]
        return {
            "median": statistics.median(ratios),
            "lowest": min(ratios),
            "highest": max(ratios),
            "target_first": first,
            "target_goal": goal,
        }


def figures_of(rounds: Sequence[Measured]) -> dict[str, Any]:
    """One row's figures over all its rounds."""
    calls = sum(sum(one.calls.values()) for one in rounds)
    latencies = sorted(seconds for one in rounds for seconds in one.latencies_seconds)
    per_second = [one.calls_per_second for one in rounds]
    components = [one.usage.components for one in rounds]
    cpu_seconds = {name: sum(used[name] for used in components) for name in components[0]}
    return {
        "calls_per_second": statistics.median(per_second),
        "calls_per_second_rounds": per_second,
        "answers": merged_counts([one.calls for one in rounds]),
        "cpu_seconds": cpu_seconds,
        "cpu_microseconds_per_call": {
            name: seconds * MICROSECONDS / calls for name, seconds in cpu_seconds.items()
        },
        "cores_used": sum(cpu_seconds.values()) / sum(one.seconds for one in rounds),
        "worker_shares": worker_shares(rounds),
        "closed_loop_latency_milliseconds": {
            f"p{percent}": latencies[min(len(latencies) - 1, len(latencies) * percent // 100)] * 1e3
            for percent in (50, 95, 99)
        },
    }


def merged_counts(counts: Sequence[dict[str, int]]) -> dict[str, int]:
    """Sums by key."""
    keys = {key for one in counts for key in one}
    return {key: sum(one.get(key, 0) for one in counts) for key in sorted(keys)}


def worker_shares(rounds: Sequence[Measured]) -> list[float]:
    """Each worker's part of the server's CPU time, the largest first."""
    pids = {pid for one in rounds for pid in one.usage.workers}
    seconds = [sum(one.usage.workers.get(pid, 0.0) for one in rounds) for pid in pids]
    total = sum(seconds) or 1.0
    return sorted((used / total for used in seconds), reverse=True)


def as_json(outcome: Outcome, report: Report) -> dict[str, Any]:
    """Ratios first: they are what a run is for. Rows and ratios to come join their kind."""
    details = {name: outcome.ratio(name) for name in RATIOS}
    return {
        "ratios": {name: round(detail["median"], 4) for name, detail in details.items()},
        "ratio_details": details,
        "rows": {row: figures_of(rounds) for row, rounds in outcome.rounds.items()},
        "audit": {
            "passed": report.passed,
            "redemptions": report.rows,
            "violations": {f.check: f.count for f in report.findings if f.count},
        },
        "plan": msgspec.to_builtins(outcome.plan),
        "postgres": outcome.postgres,
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.platform(),
            "packages": {name: version(name) for name in PACKAGES},
        },
    }


def write_json(outcome: Outcome, report: Report, file: Path) -> None:
    """Whole or not at all."""
    text = msgspec.json.format(msgspec.json.encode(as_json(outcome, report)), indent=2)
    temporary = file.with_name(f"{file.name}.new")
    temporary.write_bytes(text + b"\n")
    temporary.replace(file)


def print_outcome(outcome: Outcome, console: Console) -> None:
    """Two tables: the ratios, and what stands behind them."""
    console.print(ratio_table(outcome))
    console.print(row_table(outcome))
    console.print(share_text(outcome), soft_wrap=True)
    plan, postgres = outcome.plan, outcome.postgres
    console.print(
        f"{plan.workers} workers each, {plan.in_flight} calls in flight on {plan.connections} "
        f"connections, all on {os.cpu_count()} cores; "
        f"fsync {postgres['fsync']}, synchronous_commit {postgres['synchronous_commit']}.",
        soft_wrap=True,
    )


def ratio_table(outcome: Outcome) -> Table:
    table = Table(title="Ratios", title_justify="left", show_edge=False)
    for heading in ("", "median", "lowest to highest", "first target", "goal"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, (row, rival, first, goal) in RATIOS.items():
        found = outcome.ratio(name)
        colour = "green" if found["median"] >= first else "yellow"
        table.add_row(
            f"{row} : {rival}",
            f"[{colour}]{found['median']:.2f}[/{colour}]",
            f"{found['lowest']:.2f} to {found['highest']:.2f}",
            f"{first:g}",
            f"{goal:g}",
        )
    return table


def row_table(outcome: Outcome) -> Table:
    title = "Calls in a closed loop, and microseconds of CPU for each of them"
    table = Table(title=title, title_justify="left", show_edge=False)
    for heading in ("", "calls/s", "p50 ms", "p99 ms", *COMPONENTS.values(), "all"):
        table.add_column(heading, justify="right" if heading else "left")
    for row, rounds in outcome.rounds.items():
        figures = figures_of(rounds)
        each = figures["cpu_microseconds_per_call"]
        latency = figures["closed_loop_latency_milliseconds"]
        table.add_row(
            row,
            f"{figures['calls_per_second']:,.0f}",
            f"{latency['p50']:.1f}",
            f"{latency['p99']:.1f}",
            *(f"{each[name]:.0f}" for name in COMPONENTS),
            f"{sum(each.values()):.0f}",
        )
    return table


def share_text(outcome: Outcome) -> str:
    """How evenly the workers of each server shared the work."""
    shares = {row: worker_shares(rounds) for row, rounds in outcome.rounds.items()}
    each = (f"{row} {'/'.join(f'{one:.0%}' for one in found)}" for row, found in shares.items())
    return f"The workers' shares of their server's CPU: {', '.join(each)}."
