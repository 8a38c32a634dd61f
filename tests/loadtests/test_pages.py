"""The HTML reports: whole, self-contained, escaped, with every figure that they were given."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from loadtests.bench import page as bench_page
from loadtests.bench.results import Document
from loadtests.faults import page as faults_page
from loadtests.faults import report
from loadtests.faults.plots import OTHER_KINDS, buckets, end_of, fault_rows, kinds_of
from loadtests.pages.render import clock_text, spoken
from tests.loadtests.sample_runs import benchmark, fault_run

HOSTILE = """<script>alert("1")</script> & 'quoted' $x^2$ {{ 7 * 7 }}"""
VOID = {"meta", "br", "link", "img", "hr", "input"}
ADDRESS = re.compile(r"""https?:|//[a-z]|url\((?!#)|@import""")


class Page(HTMLParser):
    """Reads a page strictly: every tag is closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.raw = text
        self.open: list[str] = []
        self.tags: list[str] = []
        self.data: list[float] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.parts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "data":
            self.data.append(float(dict(attrs)["value"] or "nan"))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.parts).split())

    @property
    def ids(self) -> list[str]:
        return [value or "" for name, value in self.attributes if name == "id"]


def bench_of(document: Document, folder: Path) -> Page:
    file = folder / "bench.html"
    bench_page.write_page(msgspec.to_builtins(document), file)
    return Page(file.read_text())


def faults_of(run: report.RunReport, folder: Path) -> Page:
    file = folder / "faults.html"
    faults_page.write_page(run, file)
    return Page(file.read_text())


@pytest.fixture(params=["bench", "faults"])
def page(request: pytest.FixtureRequest, tmp_path: Path) -> Page:
    if request.param == "bench":
        return bench_of(benchmark(), tmp_path)
    return faults_of(fault_run(), tmp_path)


def test_a_page_needs_nothing_but_itself(page: Page) -> None:
    assert {"script", "link", "img", "iframe"} & set(page.tags) == set()
    assert ADDRESS.findall(page.raw) == []
    links = [value for name, value in page.attributes if name in ("href", "src")]
    assert [link for link in links if not (link or "").startswith("#")] == []


def test_a_page_is_one_document_whose_references_all_lead_somewhere(page: Page) -> None:
    assert page.raw.startswith("<!DOCTYPE html>")
    assert len(page.ids) == len(set(page.ids))
    named = set(re.findall(r"""(?:href="|url\()#([^")]+)""", page.raw))
    assert named - set(page.ids) == set()
    assert named != set()


def test_a_page_is_read_in_light_and_in_dark(page: Page) -> None:
    used = set(re.findall(r"var\(--([\w-]+)\)", page.raw))
    light, dark = page.raw.split("prefers-color-scheme: dark", 1)
    for variable in used:
        assert f"--{variable}:" in light
        assert f"--{variable}:" in dark
    colours = {value for name, value in page.attributes if name == "style"}
    assert [style for style in colours if "#" in (style or "").replace("url(#", "")] == []


def test_every_chart_says_what_it_shows(page: Page) -> None:
    charts = [
        dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
        for tag in re.findall(r"<svg[^>]*>", page.raw)
        if "chart" in tag
    ]
    assert charts != []
    assert all(chart["role"] == "img" and len(chart["aria-label"]) > 20 for chart in charts)


def numbers_in(value: Any, skipped: set[str]) -> Iterator[float]:
    """Every number of a report, but those below the named fields."""
    if isinstance(value, bool):
        return
    if isinstance(value, int | float):
        yield float(value)
    elif isinstance(value, dict):
        for key, part in value.items():
            if key not in skipped:
                yield from numbers_in(part, skipped)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from numbers_in(part, skipped)


def test_the_benchmark_page_holds_every_figure_of_the_run(tmp_path: Path) -> None:
    run = benchmark()
    page = bench_of(run, tmp_path)
    document = msgspec.to_builtins(run)
    # Curves and turns are drawn, and what is a label (a share, a percentage) is written as one.
    drawn = {"turns", "curve", "histogram", "worker_shares", "load_percent", "format"}
    unspoken = {"p999", "highest", "lowest", "items_per_call"}
    figures = set(numbers_in(document, drawn | unspoken))
    assert figures - set(page.data) == set()
    for found in run.judged.values():
        assert {found.lowest, found.highest} <= set(page.data)
    assert "52 % / 48 %" in page.text
    assert "3 of 4 measures reach their first target, 0 their goal" in page.text
    assert page.text.count("✗ missed") == 1


def test_a_failed_audit_is_the_first_thing_said(tmp_path: Path) -> None:
    run = benchmark()
    broken = msgspec.structs.replace(run.audit.databases[0], passed=False, violations={"lines": 3})
    audit = msgspec.structs.replace(run.audit, passed=False, databases=[broken])
    page = bench_of(msgspec.structs.replace(run, audit=audit), tmp_path)
    assert page.text.index("not exact") < page.text.index("The targets")
    assert "3 violations" in page.text
    assert "lines 3" in page.text


def test_a_run_that_measured_nothing_has_a_page_all_the_same(tmp_path: Path) -> None:
    run = benchmark()
    curves = msgspec.structs.replace(run.curves, open_loop=[], batch_sizes=[])
    timeline = msgspec.structs.replace(curves.timeline, calls=[], windows=[])
    empty = msgspec.structs.replace(
        run,
        ratios={},
        latency_ms={},
        memory_mb={},
        rows={},
        curves=msgspec.structs.replace(curves, timeline=timeline),
    )
    assert "no open loop was run" in bench_of(empty, tmp_path).text


def test_the_fault_page_holds_every_figure_of_the_run(tmp_path: Path) -> None:
    run = fault_run()
    page = faults_of(run, tmp_path)
    marks = {mark.began_at for mark in run.timeline.faults}
    marks |= {mark.ended_at for mark in run.timeline.faults if mark.ended_at is not None}
    marks |= {phase.ended_at for phase in run.timeline.phases}
    counted = set(numbers_in(msgspec.to_builtins(run), {"timeline", "seed"}))
    assert (marks | counted) - set(page.data) == set()
    assert float(sum(second.ok for second in run.timeline.seconds)) in page.data
    for text in ("seed 4711", run.replay_command, run.repeat_command):
        assert text in page.text
    for mark in run.timeline.faults:
        assert f"{mark.lane}: {mark.name} at {clock_text(mark.began_at)}" in page.text
    assert page.text.count("✓ held") == 2
    assert "no outbox yet" in page.text


def replaced(**changes: Any) -> report.RunReport:
    return msgspec.structs.replace(fault_run(seconds=20, faults=6), **changes)


VIOLATED = report.Invariant("I6", "an OK exists", 9, 7, examples=("request 1 is gone",))


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (replaced(invariants=(VIOLATED,)), "7 violations of I6"),
        (replaced(ambiguity=report.Ambiguity(9, unresolved=2)), "2 outcomes were never resolved"),
        (replaced(minimums=(report.Minimum("OK", 999, 1000),)), "too little was met"),
    ],
    ids=["violated", "unresolved", "vacuous"],
)
def test_a_run_that_failed_says_why_in_its_headline(
    run: report.RunReport, said: str, tmp_path: Path
) -> None:
    page = faults_of(run, tmp_path)
    assert not run.passed
    assert said in page.text[: page.text.index("came through")]
    assert "✗ failed" in page.text


def test_a_violation_shows_its_examples_and_how_many_are_left_out(tmp_path: Path) -> None:
    page = faults_of(replaced(invariants=(VIOLATED,)), tmp_path)
    assert "request 1 is gone … and 6 more" in page.text


def test_an_invariant_that_was_never_looked_at_does_not_pass(tmp_path: Path) -> None:
    page = faults_of(replaced(invariants=(report.Invariant("I9", "s", checked=0),)), tmp_path)
    assert "nothing to check" in page.text
    assert "✓ held" not in page.text


def test_a_run_with_a_seeded_bug_says_whether_it_was_caught(tmp_path: Path) -> None:
    assert "the checker is blind to it" in faults_of(replaced(bug="no_limit"), tmp_path).text
    caught = replaced(bug="no_limit", invariants=(VIOLATED,))
    assert "meant to fail, and it did." in faults_of(caught, tmp_path).text


def test_a_run_in_which_nothing_happened_has_a_page_all_the_same(tmp_path: Path) -> None:
    nothing = replaced(
        timeline=report.Timeline(), invariants=(), minimums=(), counts={}, machine={}
    )
    page = faults_of(nothing, tmp_path)
    assert "No answer came at all" in page.text
    assert "no faults" in page.text


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    run = replaced(
        tier=HOSTILE,
        timeline=report.Timeline(
            (report.Second(0, 1, {HOSTILE: 2}, {HOSTILE: 3}),),
            (report.FaultMark(HOSTILE, HOSTILE, 0.1, 0.2, HOSTILE),),
            (report.Phase(HOSTILE, 0, 1),),
        ),
        invariants=(report.Invariant(HOSTILE, HOSTILE, 1, 1, HOSTILE, HOSTILE, (HOSTILE,)),),
        counts={HOSTILE: 1},
        machine={HOSTILE: HOSTILE},
        bug=HOSTILE,
    )
    page = faults_of(run, tmp_path)
    assert "script" not in page.tags
    assert page.text.count("""alert("1")""") >= 12
    assert "{{ 7 * 7 }}" in page.text
    document = benchmark()
    rows = {HOSTILE: msgspec.structs.replace(document.rows["hot"], title=HOSTILE)}
    page = bench_of(msgspec.structs.replace(document, started_at=HOSTILE, rows=rows), tmp_path)
    assert "script" not in page.tags


def test_an_hour_is_drawn_in_means_that_lose_no_answer() -> None:
    timeline = fault_run(seconds=3600).timeline
    drawn, width = buckets(timeline.seconds, end_of(timeline))
    assert width > 1
    assert len(drawn) <= 1000
    assert sum(one.ok for one in drawn) == sum(one.ok for one in timeline.seconds)
    refused = [sum(one.refusals.values()) for one in timeline.seconds]
    assert sum(sum(one.refusals.values()) for one in drawn) == sum(refused)


def test_rare_kinds_share_one_colour() -> None:
    counts = [{f"REASON_{number}": 100 - number for number in range(9)}]
    kinds = kinds_of(counts)
    assert [kind for kind, _ in kinds[:2]] == ["REASON_0", "REASON_1"]
    assert kinds[-1] == (OTHER_KINDS, [95 + 94 + 93 + 92])


def test_lanes_keep_their_order_and_unknown_ones_come_last() -> None:
    marks = [
        report.FaultMark("disk", "full", 0.0),
        report.FaultMark("redis", "kill", 1.0),
        report.FaultMark("server", "stop", 3.0),
        report.FaultMark("server", "kill", 2.0),
    ]
    assert fault_rows(marks) == [
        ("server", "kill"),
        ("server", "stop"),
        ("redis", "kill"),
        ("disk", "full"),
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.70812, "0.708"), (6.8288, "6.83"), (34.06, "34.1"), (4940.8, "4,941"), (20, "20")],
)
def test_numbers_have_as_many_digits_as_help(value: float, shown: str) -> None:
    assert spoken(value) == shown


def test_a_report_survives_its_own_json() -> None:
    run = fault_run()
    assert msgspec.json.decode(msgspec.json.encode(run), type=report.RunReport) == run
