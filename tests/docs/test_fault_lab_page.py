"""What the page about the fault lab says of faults, bugs and invariants is what the code does."""

import re

from guerdon.serving.failpoints import Failpoint
from loadtests.faults.tables import PAGE, with_tables
from loadtests.faults.verdict import CLAIMS
from tests.docs.pages import ROOT, rows, section

VERDICT = (ROOT / "loadtests" / "faults" / "verdict.py").read_text()


def test_the_tables_of_faults_and_bugs_are_up_to_date() -> None:
    text = PAGE.read_text()
    assert with_tables(text) == text, "run ./dev python -m loadtests.faults.tables"


def test_every_invariant_has_its_sentence() -> None:
    listed = {cells[0]: cells[1] for cells in rows(section(PAGE, "What must always hold"))}
    assert {claim.name: claim.sentence for claim in CLAIMS}.items() <= listed.items()
    for sentence in listed.values():
        assert f'"{sentence}"' in VERDICT
    ends = [(name.split("-")[0][1:], name.split("-")[-1][1:]) for name in listed]
    numbers = [n for first, last in ends for n in range(int(first), int(last) + 1)]
    assert numbers == list(range(1, 21))


def test_every_failpoint_is_listed_in_its_order() -> None:
    listed = [cells[0] for cells in rows(section(PAGE, "Failpoints"))]
    assert listed == [point.value for point in Failpoint]


def test_every_option_that_the_page_names_exists() -> None:
    source = (ROOT / "loadtests" / "faults" / "__main__.py").read_text()
    named = set(re.findall(r"(?<=[ `])--[a-z]+", PAGE.read_text()))
    assert {option for option in named if f'"{option}"' not in source} == set()
    assert len(named) >= 5
