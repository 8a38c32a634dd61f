"""The tables in docs/fault-lab.md that say what the lab can do, made of the code that does it.

`./dev python -m loadtests.faults.tables` writes them anew.
"""

from collections.abc import Callable, Mapping

from loadtests import ROOT
from loadtests.faults.bugs.catalogue import BUGS
from loadtests.faults.injection import Fault
from loadtests.faults.link_faults import ENDS, KINDS, Kind
from loadtests.faults.node_faults import NODE_FAULTS
from loadtests.pages.markdown import table, with_part
from loadtests.pages.render import write_whole

PAGE = ROOT / "docs" / "fault-lab.md"


def main() -> None:
    """Writes the page when a table is old."""
    text = PAGE.read_text()
    wanted = with_tables(text)
    if wanted != text:
        write_whole(PAGE, wanted)
    print(f"{PAGE.relative_to(ROOT)}: {'written' if wanted != text else 'up to date'}")


def with_tables(page: str) -> str:
    """The page with every table as the code has it."""
    for name, make in TABLES.items():
        page = with_part(page, name, make())
    return page


def node_faults() -> str:
    """What is done to processes."""
    rows = [(f"`{f.name}`", f.does, duration_of(f), f.heals) for f in NODE_FAULTS]
    return table(("fault", "what it does", "for", "how it heals"), rows)


def link_faults() -> str:
    """What is done to links: each kind at each of ENDS."""
    ends = [f"`_{end}`" for end in ENDS]
    rows = [(f"`{kind.name}`", kind.does, duration_of(kind), kind.heals) for kind in KINDS]
    headings = (f"kind, with {', '.join(ends)}", "what it does", "for", "how it heals")
    return table(headings, rows)


def duration_of(fault: Fault | Kind) -> str:
    """How long it lasts."""
    if fault.seconds is None:
        return "a moment"
    least, most = fault.seconds
    return f"{least:g} to {most:g} s"


def seeded_bugs() -> str:
    """What is broken on purpose, and the check that must find it."""
    rows = [(f"`{bug.name}`", bug.sentence, f"`{bug.caught_by}`") for bug in BUGS.values()]
    return table(("bug", "what the build does", "caught by"), rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "node faults": node_faults,
    "link faults": link_faults,
    "seeded bugs": seeded_bugs,
}

if __name__ == "__main__":
    main()
