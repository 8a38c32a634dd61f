"""What the tests of the pages read out of Markdown."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")])

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of one language, in order."""
    return blocks_in(page.read_text(), language)


def blocks_in(text: str, language: str) -> list[str]:
    """Those of a part of a page."""
    return [block for kind, block in _BLOCK.findall(text) if kind == language]


def section(page: Path, title: str) -> str:
    """The text below a heading, up to the next of any level."""
    parts = re.split(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return parts[parts.index(title) + 1]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row that is no heading, without back-quotes around them."""
    lines = text.splitlines()
    found = []
    for number, line in enumerate(lines):
        is_heading = number + 1 < len(lines) and lines[number + 1].startswith("|---")
        if line.startswith("|") and not line.startswith("|---") and not is_heading:
            found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def anchors(page: Path) -> set[str]:
    """What a link into the page may name, as GitHub makes it from headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
