"""Charts as inline SVG, drawn by matplotlib and coloured by the page's CSS, so that one drawing is
right in light, in dark and on paper.

matplotlib knows no CSS variables: each colour of the page has a stand-in here, which only the
finished SVG replaces. Text stays text, in the page's own font.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# The stand-ins: colours that nobody would choose, each for the CSS variable of the same name.
INK, MUTED, GRID, PAPER, TINT = "#0a0001", "#0a0002", "#0a0003", "#0a0004", "#0a0005"
GOOD, WARN, BAD = "#0a0006", "#0a0007", "#0a0008"
SERIES = tuple(f"#0b000{number}" for number in range(1, 9))
VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    PAPER: "paper",
    TINT: "tint",
    GOOD: "good",
    WARN: "warn",
    BAD: "bad",
    **{stand_in: f"series-{number}" for number, stand_in in enumerate(SERIES, 1)},
}

# Figure sizes are given in pixels of the page: one of the SVG's units is one of those.
UNITS_PER_INCH = 72
WIDTH_PIXELS = 880
# Any: matplotlib's own type lists every parameter of one of its versions.
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    # Titles come from reports: a "$" in one is no formula.
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 12,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 12,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "lines.linewidth": 2,
    "patch.edgecolor": PAPER,
}
_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_FONT = re.compile(r"font-family:[^;]*;? ?")


@contextmanager
def house_style() -> Iterator[None]:
    """Charts are made and turned into SVG inside of it."""
    with matplotlib.rc_context(STYLE):
        yield


class Chart:
    """One figure of the page. `name` is unique on it; `description` says what a reader would see.

    `heights` has one panel's height in pixels each, from top to bottom; they share the x axis.
    """

    def __init__(self, name: str, description: str, *heights: float, gap: float = 46) -> None:
        self.name = name
        self.description = description
        total = sum(heights) + gap * (len(heights) - 1)
        self.figure = Figure(figsize=(WIDTH_PIXELS / UNITS_PER_INCH, total / UNITS_PER_INCH))
        self.panels: list[Axes] = list(
            self.figure.subplots(
                len(heights), sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
            )[:, 0]
        )
        self._tips: dict[str, str] = {}

    @property
    def axes(self) -> Axes:
        """The first panel."""
        return self.panels[0]

    def place(
        self,
        *,
        left: float = 64,
        right: float = 16,
        top: float = 28,
        bottom: float = 44,
        gap: float = 46,
    ) -> None:
        """Leaves so many pixels round the panels, and `gap` between two of them."""
        width, height = self.figure.get_size_inches() * UNITS_PER_INCH
        inner = height - top - bottom
        panel = (inner - gap * (len(self.panels) - 1)) / len(self.panels)
        self.figure.subplots_adjust(
            left=left / width,
            right=1 - right / width,
            top=1 - top / height,
            bottom=bottom / height,
            hspace=gap / panel,
        )

    def tip(self, artist: Artist, text: str) -> None:
        """Shows `text` when a pointer rests on the artist."""
        key = f"tip-{len(self._tips)}"
        artist.set_gid(key)
        self._tips[key] = text

    def svg(self) -> Markup:
        """To be put into a page as it is."""
        file = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        with matplotlib.rc_context({"svg.hashsalt": self.name}):
            self.figure.savefig(file, format="svg", metadata=nothing)
        root = ElementTree.fromstring(file.getvalue())
        tidy(root, self.name, self._tips)
        root.attrib = {
            "viewBox": root.attrib["viewBox"],
            "class": "chart",
            "role": "img",
            "aria-label": self.description,
        }
        return Markup(ElementTree.tostring(root, encoding="unicode"))


def note(
    axes: Axes,
    text: str,
    at: tuple[float, float],
    *,
    dx: float = 0,
    dy: float = 0,
    align: Literal["left", "center", "right"] = "left",
    colour: str = INK,
) -> None:
    """Writes beside a point of the panel, so many pixels to the right and up from it."""
    axes.annotate(
        text,
        at,
        xytext=(dx, dy),
        textcoords="offset points",
        color=colour,
        ha=align,
        va="center" if not dy else "baseline",
        annotation_clip=False,
    )


def tidy(root: ElementTree.Element, name: str, tips: dict[str, str]) -> None:
    """Leaves what a page needs: no name space, no style for the whole page, ids of its own."""
    for parent in list(root.iter(f"{_SVG}defs")):
        for child in parent.findall(f"{_SVG}style"):
            parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        element.attrib = {
            key: own_value(key, " ".join(value.split()), name)
            for key, value in ((key.replace(_HREF, "href"), v) for key, v in element.items())
        }
        key = element.attrib.pop("id", "").removeprefix(f"{name}-")
        if key in tips:
            title = ElementTree.Element("title")
            title.text = tips[key]
            element.insert(0, title)
        elif element.tag in ("path", "clipPath") and key:
            element.set("id", f"{name}-{key}")


def own_value(attribute: str, value: str, name: str) -> str:
    """An attribute's value with the page's colours and this chart's ids."""
    if attribute == "id":
        return f"{name}-{value}"
    if attribute == "href":
        return value.replace("#", f"#{name}-")
    value = value.replace("url(#", f"url(#{name}-")
    if attribute == "style":
        value = _FONT.sub("", value)
        for stand_in, variable in VARIABLES.items():
            value = value.replace(stand_in, f"var(--{variable})")
    return value
