"""Makes one self-contained HTML file of a template: no script, nothing to fetch, all text escaped.

Templates are named by their path below loadtests/. Beside jinja2's own filters they have `figure`,
`target`, `whole` and `clock`, which show a number for people and keep the exact one in <data>.
"""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

LOADTESTS = Path(__file__).resolve().parents[1]


def render(template: str, **values: Any) -> str:
    """The page. A name that the template uses and nobody gave raises UndefinedError."""
    return environment().get_template(template).render(values)


def write_whole(path: Path, text: str) -> None:
    """Whole or not at all, so that nobody opens half a page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def environment() -> Environment:
    """Escapes whatever is not Markup, whichever the template's suffix."""
    made = Environment(
        loader=FileSystemLoader(LOADTESTS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(figure=figure, target=target, whole=whole, clock=clock)
    return made


def figure(value: float) -> Markup:
    """Three significant digits or so: 0.708, 34.1, 4,941."""
    return exact(value, spoken(value))


def target(value: float) -> Markup:
    """A bound as it was set: 0.65, 10."""
    return exact(value, f"{value:g}")


def whole(value: float) -> Markup:
    """A count: 1,183,000."""
    return exact(value, f"{value:,.0f}")


def clock(seconds: float) -> Markup:
    """A duration or a moment: 12.5 s, 4:05 min, 1:02:09 h."""
    return exact(seconds, clock_text(seconds))


def exact(value: float, shown: str) -> Markup:
    """`shown`, with the number itself for whoever reads the page by program."""
    return Markup('<data value="{}">{}</data>').format(value, shown)


def spoken(value: float) -> str:
    """As many digits as a reader can use."""
    if value == int(value):
        return f"{value:,.0f}"
    size = abs(value)
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{decimals}f}"


def clock_text(seconds: float) -> str:
    """Like `clock`, as plain text."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} h"
