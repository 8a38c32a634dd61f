"""docs/architecture.md draws the house that stands."""

import re
from xml.etree import ElementTree

from tests.docs.pages import DOCS, ROOT, rows, section

PAGE = DOCS / "architecture.md"
PICTURE = DOCS / "images" / "architecture.svg"
NINE = 9
# Not a part of the house: marks for packaging, and the door of the command line.
NO_PARTS = {"__init__", "__main__", "py"}


def road() -> list[str]:
    text = section(PAGE, "The road of a Redeem")
    return re.findall(r"^\d\. \[`([^`]+)`\]", text, flags=re.MULTILINE)


def test_the_nine_files_are_there() -> None:
    assert len(road()) == NINE
    assert [name for name in road() if not (ROOT / name).is_file()] == []


def test_the_picture_shows_the_same_nine_files_in_the_same_order() -> None:
    texts = ["".join(text.itertext()) for text in ElementTree.parse(PICTURE).iter()]
    numbered = [re.fullmatch(r"(\d)\s+(\S+/\S+)", text) for text in texts]
    assert [match[2] for match in numbered if match] == road()


def test_each_file_of_the_road_leads_to_the_next() -> None:
    """From the plane the road forks to Redis and to Postgres; each name is in the file before."""
    names = road()
    proto, servicer, plane, domain, admission, lua, store, query, function = (
        (ROOT / name).read_text() for name in names
    )
    assert "rpc Redeem(" in proto
    assert "async def redeem(" in servicer
    assert "from guerdon.dataplane.redeem import Redeem" in servicer
    assert "from guerdon.domain.redemption import" in plane
    assert "class RedeemCommand" in domain
    assert "self._admission.sort(" in plane
    assert "async def sort(" in admission
    assert '_Script("admit")' in admission
    assert lua.startswith("-- admit.lua")
    assert "redeem_each(self._store" in plane
    assert 'queries.text("redeem")' in store
    assert "guerdon.redeem_v1(" in query
    assert "function guerdon.redeem_v1(" in function


def test_every_part_of_the_package_is_on_the_map() -> None:
    told = set(re.findall(r"`src/guerdon/(\w+)", section(PAGE, "The house")))
    parts = {path.name.split(".")[0] for path in (ROOT / "src" / "guerdon").glob("[!.]*")}
    assert parts - NO_PARTS - {"__pycache__"} == told


def test_every_folder_on_the_map_is_there() -> None:
    cells = " ".join(row[0] for row in rows(section(PAGE, "The house")))
    named = re.findall(r"`([\w./]+)`", cells)
    assert len(named) > 12
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_folder_of_tests_has_its_row() -> None:
    told = {cells[0] for cells in rows(section(DOCS / "testing.md", "Where a test goes"))}
    folders = {f"`tests/{path.name}`" for path in (ROOT / "tests").iterdir() if path.is_dir()}
    assert folders - {"`tests/__pycache__`"} == told
