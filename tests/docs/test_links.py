"""Every link leads somewhere, every picture can be drawn, every decision is on the list."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, anchors, rows

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    dead = []
    for link in LINK.findall(page.read_text()):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if link.startswith("https://"):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("name", sorted(file.name for file in (DOCS / "images").glob("*.svg")))
def test_a_picture_says_what_it_shows_and_brings_its_own_background(name: str) -> None:
    picture = ElementTree.parse(DOCS / "images" / name).getroot()
    assert picture.find(f"{SVG}title") is not None
    assert picture.find(f"{SVG}desc") is not None
    # Without one, dark pages would swallow the text.
    background = picture.find(f"{SVG}rect")
    assert background is not None
    _, _, width, height = picture.attrib["viewBox"].split()
    assert (background.attrib["width"], background.attrib["height"]) == (width, height)


def test_every_decision_is_on_the_list_and_says_why() -> None:
    notes = sorted((DOCS / "adr").glob("[0-9]*.md"))
    listed = [cells[0] for cells in rows((DOCS / "adr" / "README.md").read_text())]
    assert listed == [f"[{note.name[:4]}]({note.name})" for note in notes]
    for note in notes:
        text = note.read_text()
        assert text.startswith(f"# {note.name[:4]}: ")
        positions = [text.index(f"**{part}.**") for part in ("Context", "Decision", "Consequences")]
        assert positions == sorted(positions)
