"""What docs/errors.md says that each reason tells."""

from pathlib import Path
from typing import NamedTuple

from tests.docs.pages import DOCS, rows

PAGE: Path = DOCS / "errors.md"
CELLS = 5


class Keys(NamedTuple):
    """Keys of a reason's metadata: those that are always told, and those that are where there is
    such a value."""

    always: frozenset[str]
    sometimes: frozenset[str]

    @property
    def all(self) -> frozenset[str]:
        return self.always | self.sometimes


def _keys(cell: str) -> Keys:
    told = [key.strip() for key in cell.split(",") if key.strip()]
    sometimes = frozenset(key.removesuffix("?") for key in told if key.endswith("?"))
    return Keys(frozenset(told) - {f"{key}?" for key in sometimes}, sometimes)


# In a row: reason, code, meaning, metadata, what to do.
KEYS = {
    cells[0]: _keys(cells[3])
    for cells in rows(PAGE.read_text())
    if len(cells) == CELLS and cells[0].isupper()
}


def fits(reason: str, told: frozenset[str] | set[str]) -> bool:
    """Whether these may be the keys of the reason's metadata."""
    return KEYS[reason].always <= told <= KEYS[reason].all
