"""The benchmark page's charts. Each takes a part of the document and answers an SVG."""

import math
from collections.abc import Sequence

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from loadtests.bench.results import BatchSize, Judged, OpenLoop, Row, Timeline
from loadtests.pages.charts import INK, MUTED, SERIES, TINT, Chart, note
from loadtests.pages.render import spoken

# Components from the caller inwards, each with its colour in the stacks.
COMPONENTS = {
    "generator": SERIES[4],
    "server": SERIES[0],
    "postgres": SERIES[2],
    "redis": SERIES[5],
}
OTHER_COMPONENT = SERIES[7]
# What Guerdon is compared with; all other rows are Guerdon's own.
RIVALS = ("echo", "textbook", "one_call")
# The percentages that get a tick: each next one has a tenth of the calls above it.
PERCENT_TICKS = (50, 90, 99, 99.9, 99.99)
BAR_PIXELS = 30
THOUSANDS = FuncFormatter(lambda value, _: f"{value:,.0f}")


def latency_chart(loops: Sequence[OpenLoop], p99: Judged | None) -> Markup:
    """Latency by percentile, both axes stretched: the tail is what a customer remembers."""
    chart = Chart("latency", "Latency in milliseconds by percentile, one line for each load.", 384)
    axes = chart.axes
    for loop, colour in zip(loops, (SERIES[2], SERIES[0], SERIES[1], *SERIES[3:]), strict=False):
        curve = [(depth(percent), ms) for percent, ms in loop.latency_ms.curve if percent < 100]
        label = f"{loop.load_percent} % load: {spoken(loop.intended_per_second)} calls/s"
        axes.plot(*zip(*curve, strict=True), color=colour, marker="o", markersize=4, label=label)
        for percent, ms in loop.latency_ms.curve:
            if percent in PERCENT_TICKS:
                dot = axes.plot(depth(percent), ms, "o", color=colour, markersize=5)[0]
                chart.tip(dot, f"{loop.load_percent} % load, p{percent:g}: {spoken(ms)} ms")
    if p99 is not None:
        bounds = [p99.target_first, p99.target_goal]
        label = f"wanted of 50 % load: {bounds[0]:g} ms first, {bounds[1]:g} ms in the end"
        axes.plot([depth(99)] * 2, bounds, "_", color=INK, markersize=22, label=label)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylabel("latency from the intended send time, ms")
    axes.set_xticks([depth(percent) for percent in PERCENT_TICKS])
    axes.set_xticklabels([f"{percent:g} %" for percent in PERCENT_TICKS])
    axes.set_xlim(0, depth(99.99) + 0.15)
    axes.set_xlabel("so many of the calls took no longer")
    if loops:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0)
    chart.place(left=70, top=50)
    return chart.svg()


def depth(percent: float) -> float:
    """A percentile's place on the axis: 90 -> 1, 99 -> 2, 99.9 -> 3."""
    return -math.log10(1 - percent / 100)


def throughput_chart(rows: dict[str, Row]) -> Markup:
    """Redemptions or calls a second as bars, each with its lowest and highest turn."""
    about = "Calls a second of each row, with the spread of its turns."
    chart = bar_chart("throughput", about, rows)
    axes = chart.axes
    for place, (name, row) in enumerate(rows.items()):
        found = row.items_per_second
        colour = SERIES[4] if name in RIVALS else SERIES[0]
        bar = axes.barh(place, found.median, color=colour, height=0.68)[0]
        axes.plot([found.lowest, found.highest], [place, place], color=INK, linewidth=1.4)
        axes.plot([found.lowest, found.highest], [place, place], "|", color=INK, markersize=8)
        note(axes, spoken(found.median), (found.highest, place), dx=8)
        spread = f"{spoken(found.lowest)} to {spoken(found.highest)}"
        chart.tip(bar, f"{row.title}: median {spoken(found.median)}/s, {spread}")
    axes.set_xlabel("calls a second; the thin line spans the turns")
    widest = max((row.items_per_second.highest for row in rows.values()), default=0)
    return finished(chart, rows, widest)


def cost_chart(rows: dict[str, Row]) -> Markup:
    """CPU microseconds an item, stacked by component."""
    chart = bar_chart("cost", "CPU microseconds an item of each row, stacked by component.", rows)
    axes = chart.axes
    names = components_of(rows)
    for place, row in enumerate(rows.values()):
        left = 0.0
        for name in names:
            cost = row.cpu_microseconds_per_item.get(name, 0.0)
            colour = COMPONENTS.get(name, OTHER_COMPONENT)
            bar = axes.barh(place, cost, left=left, color=colour, height=0.68)[0]
            chart.tip(bar, f"{row.title}, {name}: {spoken(cost)} µs")
            left += cost
        note(axes, spoken(left), (left, place), dx=6)
    for name in names:
        axes.barh(0, 0, color=COMPONENTS.get(name, OTHER_COMPONENT), label=name)
    if names:
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(names), borderaxespad=0)
    axes.set_xlabel("CPU microseconds an item")
    widest = max((cpu_of(row) for row in rows.values()), default=0)
    return finished(chart, rows, widest, legend_pixels=28)


def components_of(rows: dict[str, Row]) -> list[str]:
    """From the caller inwards; those that have no place in COMPONENTS come last."""
    found = {name for row in rows.values() for name in row.cpu_microseconds_per_item}
    return [name for name in COMPONENTS if name in found] + sorted(found - set(COMPONENTS))


def cpu_of(row: Row) -> float:
    """All components together, in microseconds an item."""
    return sum(row.cpu_microseconds_per_item.values())


def bar_chart(name: str, description: str, rows: dict[str, Row]) -> Chart:
    """Horizontal bars with the rows' names beside them, in the rows' order from the top."""
    chart = Chart(name, description, 78 + BAR_PIXELS * max(len(rows), 1))
    axes = chart.axes
    axes.set_yticks(range(len(rows)), [row_label(name, row) for name, row in rows.items()])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(THOUSANDS)
    return chart


def row_label(name: str, row: Row) -> str:
    """Short enough to stand beside a bar."""
    each = f" of {row.items_per_call}" if row.items_per_call > 1 else ""
    return f"{name.replace('_', ' ')}{each}"


def finished(
    chart: Chart, rows: dict[str, Row], widest: float, *, legend_pixels: float = 8
) -> Markup:
    """The first row on top, and room for the labels behind the bars."""
    chart.axes.set_ylim(max(len(rows), 1) - 0.4, -0.6)
    chart.axes.set_xlim(0, widest * 1.12 or 1)
    chart.place(left=104, top=legend_pixels)
    return chart.svg()


def batch_chart(sizes: Sequence[BatchSize], hot: float | None) -> Markup:
    """Redemptions a second and a call's median latency, by items a call."""
    about = "Redemptions a second, and milliseconds a call, by the number of items in a call."
    chart = Chart("batch", about, 230, 120)
    items = [size.items for size in sizes]
    top, below = chart.panels
    draw_sizes(chart, top, sizes, [size.redemptions_per_second for size in sizes], "/s")
    draw_sizes(chart, below, sizes, [size.p50_ms for size in sizes], " ms")
    if hot is not None and sizes:
        top.axhline(hot, color=MUTED, linewidth=1.2, linestyle=(0, (4, 3)))
        text = f"unary Redeem: {spoken(hot)}/s"
        note(top, text, (items[-1], hot), dy=6, align="right", colour=MUTED)
    top.set_title("redemptions a second")
    top.yaxis.set_major_formatter(THOUSANDS)
    below.set_title("median of a whole call, ms")
    below.set_xlabel("items in a RedeemBatch")
    below.set_xscale("log", base=2)
    below.set_xticks(items, [str(count) for count in items])
    below.xaxis.set_minor_locator(NullLocator())
    chart.place()
    return chart.svg()


def draw_sizes(
    chart: Chart, axes: Axes, sizes: Sequence[BatchSize], values: Sequence[float], unit: str
) -> None:
    axes.plot([size.items for size in sizes], values, color=SERIES[0])
    for size, value in zip(sizes, values, strict=True):
        dot = axes.plot(size.items, value, "o", color=SERIES[0], markersize=6)[0]
        chart.tip(dot, f"{size.items} items, {size.in_flight} in flight: {spoken(value)}{unit}")
    axes.set_ylim(0, max(values, default=1) * 1.15)


def timeline_chart(timeline: Timeline) -> Markup:
    """Calls a second from an empty database on; the compared windows are shaded."""
    chart = Chart("minutes", "Calls a second over time, from an empty database on.", 250)
    axes = chart.axes
    width = timeline.bucket_seconds
    rates = [calls / width for calls in timeline.calls]
    edges = [number * width for number in range(len(rates) + 1)]
    highest = max([*rates, *(window.calls_per_second for window in timeline.windows), 1])
    for window in timeline.windows:
        axes.axvspan(window.begin, window.end, color=TINT, linewidth=0)
        axes.plot([window.begin, window.end], [window.calls_per_second] * 2, color=SERIES[1])
        middle = (window.begin + window.end) / 2
        text = f"{window.title}: {spoken(window.calls_per_second)}/s"
        note(axes, text, (middle, highest * 1.12), align="center")
    axes.stairs(rates, edges, color=SERIES[0], linewidth=1.6, baseline=None)
    axes.set_xlim(0, edges[-1] or 1)
    axes.set_ylim(0, highest * 1.22)
    axes.yaxis.set_major_formatter(THOUSANDS)
    axes.set_ylabel("calls a second")
    axes.set_xlabel("seconds since the first call to an empty database")
    axes.xaxis.set_major_formatter(THOUSANDS)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    chart.place(top=8)
    return chart.svg()
