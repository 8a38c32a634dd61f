"""Tables in pages of docs/ that are made of code or of results, between two marker lines each."""

from collections.abc import Sequence


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown, escaped, since a cell may hold anything."""
    return "".join([line_of(headings), "|---" * len(headings) + "|\n", *map(line_of, rows)])


def line_of(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def with_part(page: str, name: str, text: str) -> str:
    """The page with `text` as its part `name`; ValueError when the part's markers are missing."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    before, _, rest = page.partition(begin)
    _, marker, after = rest.partition(end)
    if not marker:
        raise ValueError(f"the page needs the lines {begin.strip()} and {end.strip()}")
    return f"{before}{begin}\n{text}\n{end}{after}"
