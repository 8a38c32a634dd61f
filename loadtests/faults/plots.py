"""The fault report's charts: what the clients got, above what was done to the house meanwhile."""

from collections.abc import Callable, Iterable, Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from loadtests.faults.report import LANES, FaultMark, Second, Timeline
from loadtests.pages.charts import GRID, INK, MUTED, SERIES, TINT, WIDTH_PIXELS, Chart, note
from loadtests.pages.render import clock_text, spoken

# Stacks show so many kinds; the rarest ones share the last place.
KINDS_MAX = 6
KIND_COLOURS = (SERIES[1], SERIES[3], SERIES[6], SERIES[7], SERIES[5], SERIES[4])
LANE_COLOURS = dict(
    zip(LANES, (SERIES[0], SERIES[2], SERIES[5], SERIES[3], SERIES[1]), strict=True)
)
OTHER_LANE = SERIES[4]
OTHER_KINDS = "all others"
# A row of faults, and what lies around the rows.
ROW_PIXELS = 19
PANEL_PIXELS = 130
GAP_PIXELS = 74
# A legend above a panel: so many kinds beside each other, so many pixels a line of them.
LEGEND_COLUMNS, LEGEND_PIXELS = 2, 15
# A row's name beside it: pixels of a letter, at least and at most.
LETTER_PIXELS, LABEL_PIXELS = 6.6, (90, 320)
# So many seconds are averaged into one point at most: an hour is wider than a page has pixels.
POINTS_MAX = 900


def timeline_chart(name: str, timeline: Timeline) -> Markup:
    """OK, refusals and open outcomes by second, and below them one row for each kind of fault."""
    rows = fault_rows(timeline.faults)
    lanes_height = max(ROW_PIXELS * len(rows), ROW_PIXELS) + 20
    about = "Answers a second over time: OK, refusals and open outcomes; below them the faults."
    heights = (PANEL_PIXELS + 30, PANEL_PIXELS, PANEL_PIXELS, lanes_height)
    chart = Chart(name, about, *heights, gap=GAP_PIXELS)
    granted, refused, unclear, lanes = chart.panels
    end = end_of(timeline)
    seconds, width = buckets(timeline.seconds, end)
    granted.set_title("OK a second", pad=24 if timeline.phases else 6)
    draw_line(granted, [second.ok for second in seconds], width)
    stack(refused, "definite refusals a second", seconds, width, lambda second: second.refusals)
    stack(unclear, "open outcomes a second", seconds, width, lambda second: second.ambiguous)
    draw_faults(chart, lanes, timeline.faults, rows)
    lanes.set_xlim(0, end)
    lanes.set_xlabel("seconds since the run began")
    lanes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    lanes.xaxis.set_major_locator(MaxNLocator(integer=True))
    longest = max((len(label.get_text()) for label in lanes.get_yticklabels()), default=0)
    left = min(max(longest * LETTER_PIXELS + 14, LABEL_PIXELS[0]), LABEL_PIXELS[1])
    shade_phases(chart, timeline, (WIDTH_PIXELS - left) / end)
    chart.place(left=left, top=42, gap=GAP_PIXELS)
    return chart.svg()


def end_of(timeline: Timeline) -> float:
    """The last moment that anything is known of, at least one second."""
    marks = [mark.began_at if mark.ended_at is None else mark.ended_at for mark in timeline.faults]
    phases = [phase.ended_at for phase in timeline.phases]
    return max([1.0, *marks, *phases, *(second.at + 1 for second in timeline.seconds)])


def buckets(seconds: Sequence[Second], end: float) -> tuple[list[Second], int]:
    """Every second from 0 on, or means over `width` seconds when there are more than POINTS_MAX.

    A mean is kept as a sum over its seconds: the drawing divides by the width.
    """
    width = max(1, -(-int(end) // POINTS_MAX))
    places = int(end) // width + 1
    sums = [Sums() for _ in range(places)]
    for second in seconds:
        if 0 <= second.at < places * width:
            sums[second.at // width].add(second)
    return [one.as_second(place * width) for place, one in enumerate(sums)], width


class Sums:
    """Adds up the seconds of one bucket."""

    def __init__(self) -> None:
        self.ok = 0
        self.refusals: dict[str, int] = {}
        self.ambiguous: dict[str, int] = {}

    def add(self, second: Second) -> None:
        self.ok += second.ok
        for mine, its in ((self.refusals, second.refusals), (self.ambiguous, second.ambiguous)):
            for kind, count in its.items():
                mine[kind] = mine.get(kind, 0) + count

    def as_second(self, at: int) -> Second:
        return Second(at, self.ok, self.refusals, self.ambiguous)


def draw_line(axes: Axes, counts: Sequence[int], width: int) -> None:
    rates = [count / width for count in counts]
    edges = [number * width for number in range(len(rates) + 1)]
    axes.stairs(rates, edges, color=SERIES[2], fill=True, alpha=0.25, linewidth=0)
    axes.stairs(rates, edges, color=SERIES[2], linewidth=1.4, baseline=None)
    axes.set_ylim(0, max(max(rates, default=0) * 1.12, 1))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))


def stack(
    axes: Axes,
    title: str,
    seconds: Sequence[Second],
    width: int,
    counts_of: Callable[[Second], dict[str, int]],
) -> None:
    """Stacked by kind, the most frequent at the bottom, each named with its total."""
    kinds = kinds_of([counts_of(second) for second in seconds])
    axes.set_title(title, pad=6 + LEGEND_PIXELS * -(-len(kinds) // LEGEND_COLUMNS))
    edges = [number * width for number in range(len(seconds) + 1)]
    below = [0.0] * len(seconds)
    for (kind, series), colour in zip(kinds, KIND_COLOURS, strict=False):
        above = [base + count / width for base, count in zip(below, series, strict=True)]
        label = f"{kind}: {sum(series):,}"
        axes.stairs(above, edges, baseline=below, fill=True, color=colour, label=label, linewidth=0)
        below = above
    if kinds:
        place_legend(axes)
    else:
        note(axes, "none", (0, 0.5), dx=6, colour=MUTED)
    axes.set_ylim(0, max(max(below, default=0) * 1.12, 1))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))


def place_legend(axes: Axes) -> None:
    """Between the title and the panel."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.005, 0.99),
        ncols=LEGEND_COLUMNS,
        borderaxespad=0,
        fontsize=10,
        handlelength=1,
        columnspacing=1.5,
    )


def kinds_of(counts: Sequence[dict[str, int]]) -> list[tuple[str, list[int]]]:
    """Each kind with its counts, the most frequent first, the rarest added up."""
    totals: dict[str, int] = {}
    for one in counts:
        for kind, count in one.items():
            totals[kind] = totals.get(kind, 0) + count
    kinds = sorted(filter(totals.get, totals), key=lambda kind: (-totals[kind], kind))
    shown = kinds if len(kinds) <= KINDS_MAX else kinds[: KINDS_MAX - 1]
    found = [(kind, [one.get(kind, 0) for one in counts]) for kind in shown]
    rest = [kind for kind in kinds if kind not in shown]
    if rest:
        found.append((OTHER_KINDS, [sum(one.get(kind, 0) for kind in rest) for one in counts]))
    return found


def fault_rows(faults: Iterable[FaultMark]) -> list[tuple[str, str]]:
    """(lane, name) of each kind of fault, the lanes in their order, names by their first mark."""
    met: dict[tuple[str, str], None] = {}
    for mark in sorted(faults, key=lambda mark: mark.began_at):
        met.setdefault((mark.lane, mark.name))
    lanes = [*LANES, *dict.fromkeys(lane for lane, _ in met if lane not in LANES)]
    return [row for lane in lanes for row in met if row[0] == lane]


def draw_faults(
    chart: Chart, axes: Axes, faults: Iterable[FaultMark], rows: Sequence[tuple[str, str]]
) -> None:
    """An instant is a stroke, a fault that held is a bar; a pointer on it shows the rest."""
    places = {row: place for place, row in enumerate(rows)}
    counts = dict.fromkeys(rows, 0)
    for mark in faults:
        row = (mark.lane, mark.name)
        counts[row] += 1
        colour = LANE_COLOURS.get(mark.lane, OTHER_LANE)
        place = places[row]
        stroke = axes.plot([mark.began_at] * 2, [place - 0.36, place + 0.36], color=colour)[0]
        if mark.ended_at is not None:
            length = mark.ended_at - mark.began_at
            held = axes.barh(
                place, length, left=mark.began_at, height=0.5, color=colour, alpha=0.45, linewidth=0
            )[0]
            chart.tip(held, tip_text(mark))
        chart.tip(stroke, tip_text(mark))
    labels = [f"{lane}: {name} ({counts[(lane, name)]})" for lane, name in rows]
    axes.set_yticks(range(len(rows)), labels or None)
    axes.tick_params(axis="y", labelcolor=INK, labelsize=11)
    axes.set_ylim(max(len(rows), 1) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    separate_lanes(axes, rows)
    if not rows:
        note(axes, "no faults", (0, 0), dx=6, colour=MUTED)


def separate_lanes(axes: Axes, rows: Sequence[tuple[str, str]]) -> None:
    for place in range(1, len(rows)):
        if rows[place][0] != rows[place - 1][0]:
            axes.axhline(place - 0.5, color=GRID, linewidth=1)


def tip_text(mark: FaultMark) -> str:
    """Everything about one fault."""
    held = "" if mark.ended_at is None else f" for {spoken(mark.ended_at - mark.began_at)} s"
    more = f", {mark.detail}" if mark.detail else ""
    return f"{mark.lane}: {mark.name} at {clock_text(mark.began_at)}{held}{more}"


def shade_phases(chart: Chart, timeline: Timeline, pixels_a_second: float) -> None:
    """Every other phase is shaded through all panels; its name stands on top if it has room."""
    top = chart.panels[0]
    above = top.get_ylim()[1]
    for number, phase in enumerate(timeline.phases):
        for axes in chart.panels:
            if number % 2:
                axes.axvspan(phase.began_at, phase.ended_at, color=TINT, linewidth=0, zorder=-5)
        room = (phase.ended_at - phase.began_at) * pixels_a_second
        if len(phase.name) * LETTER_PIXELS <= room:
            middle = (phase.began_at + phase.ended_at) / 2
            note(top, phase.name, (middle, above), dy=5, align="center", colour=MUTED)
