"""The whole benchmark in small: every row is measured, everything audited, a document results.

Its figures mean nothing: the point is that each row's calls are answered as they must be.
"""

import dataclasses
from pathlib import Path

import msgspec
from rich.console import Console

from loadtests.bench import __main__ as bench
from loadtests.bench.audits import Audited
from loadtests.bench.figures import RATIOS
from loadtests.bench.fill import Fill
from loadtests.bench.page import write_page
from loadtests.bench.plan import BATCH_ITEMS, BATCH_SIZES, LOADS, TIMELINE_WINDOWS, plan_of
from loadtests.bench.report import print_audits, print_document
from loadtests.bench.results import Document, write_json
from loadtests.bench.rows import KINDS, ROWS
from loadtests.bench.stage import SCARCE_TOTAL_LIMIT

PLAN = dataclasses.replace(
    plan_of(True, turns=1, seconds=0.25),
    fill=Fill(of_hot=300, of_others=2_000),
    full_offers=60,
    spread_offers=30,
    # Enough for the scarce offer, of which each takes two.
    customers=1_000,
    workers=1,
    connections=4,
    in_flight=32,
    warm_up_seconds=0.1,
)
# Of thirteen.
ROWS_ANSWERED_MIN = 10


def test_a_small_run_measures_every_row_and_audits_everything(tmp_path: Path) -> None:
    """One run for all that is asked of it: servers take longer to start than rows to measure."""
    document, audited = bench.run(PLAN)
    assert audited.passed, document.audit
    check_rows(document)
    check_audit(document, audited)
    check_judged(document)
    check_shown(document, audited, tmp_path)


def check_rows(document: Document) -> None:
    """On a busy machine a short round may end without an answer, or shed; never with another."""
    assert list(document.rows) == list(ROWS)
    answered = 0
    for name, row in document.rows.items():
        assert set(row.answers) <= {KINDS[name].expected, "UNAVAILABLE"}, (name, row.answers)
        answered += row.items_per_second.median > 0
    assert answered >= ROWS_ANSWERED_MIN
    sizes = [size.items for size in document.curves.batch_sizes]
    assert sizes == [*BATCH_SIZES, BATCH_ITEMS]


def check_audit(document: Document, audited: Audited) -> None:
    found = {database.name: database.redemptions for database in document.audit.databases}
    assert found["main"] > SCARCE_TOTAL_LIMIT
    assert found["full"] > PLAN.fill.of_hot
    assert found["fresh"] > 0
    assert 0 < audited.granted_shares["refusal"] < 1


def check_judged(document: Document) -> None:
    assert set(document.ratios) == {*RATIOS, "first_fifth_minute"}
    assert document.ratios["first_fifth_minute"].note == "windows of 1 s instead of minutes"
    assert set(document.latency_ms) == {"p99_at_50"}
    assert 20 < document.memory_mb["worker"].median < 1_000
    assert [load.load_percent for load in document.curves.open_loop] == list(LOADS)
    assert len(document.curves.timeline.calls) <= TIMELINE_WINDOWS
    assert document.machine.postgres["fsync"] == "on"
    assert document.machine.flush_microseconds > 0


def check_shown(document: Document, audited: Audited, folder: Path) -> None:
    console = Console(record=True, width=100)
    print_audits(audited, console)
    print_document(document, console)
    shown = console.export_text()
    assert all(figure.title in shown for figure in document.judged.values())
    write_json(document, folder / "bench.json")
    written = (folder / "bench.json").read_bytes()
    assert msgspec.json.decode(written, type=Document) == document
    write_page(msgspec.to_builtins(document), folder / "bench.html")
    assert (folder / "bench.html").stat().st_size > 10_000
