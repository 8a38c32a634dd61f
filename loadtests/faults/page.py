"""The fault lab's one-page report: what was done, what the clients got, and what held."""

from pathlib import Path
from typing import Any

from loadtests.faults.plots import timeline_chart
from loadtests.faults.report import RunReport
from loadtests.pages.charts import house_style
from loadtests.pages.render import render, write_whole


def write_page(report: RunReport, path: Path) -> None:
    """Writes one HTML file that needs nothing else."""
    with house_style():
        page = render("faults/page.html", **contents(report))
    write_whole(path, page)


def contents(report: RunReport) -> dict[str, Any]:
    """What the template shows."""
    seconds = report.timeline.seconds
    refusals: dict[str, int] = {}
    ambiguous: dict[str, int] = {}
    for second in seconds:
        for total, part in ((refusals, second.refusals), (ambiguous, second.ambiguous)):
            for kind, count in part.items():
                total[kind] = total.get(kind, 0) + count
    return {
        "run": report,
        "headline": headline(report),
        "timeline_title": timeline_title(report),
        "timeline": timeline_chart("timeline", report.timeline),
        "ok": sum(second.ok for second in seconds),
        "refusals": most_first(refusals),
        "ambiguous": most_first(ambiguous),
    }


def most_first(counts: dict[str, int]) -> dict[str, int]:
    """The same, the most frequent first."""
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def headline(report: RunReport) -> str:
    """The verdict in a sentence; what stands first is what a reader must know first."""
    held = sum(invariant.held for invariant in report.invariants)
    if report.violations:
        broken = [one.name for one in report.invariants if one.violations]
        verdict = f"{report.violations:,} violations of {', '.join(broken)}"
    elif report.ambiguity.unresolved:
        verdict = f"{report.ambiguity.unresolved:,} outcomes were never resolved"
    elif report.is_vacuous:
        verdict = "Nothing was violated, but too little was met to prove anything"
    else:
        verdict = f"Nothing was violated: {held} invariants held"
    return f"{verdict}, with {len(report.timeline.faults):,} faults"


def timeline_title(report: RunReport) -> str:
    """Over the timeline."""
    seconds = report.timeline.seconds
    if not seconds:
        return "No answer came at all"
    granted = sum(second.ok for second in seconds)
    return f"{granted:,} OK answers came through {len(report.timeline.faults):,} faults"
