"""docs/rules.md and docs/glossary.md say what the domain says."""

from guerdon.domain.life_cycle import TRANSITIONS
from guerdon.domain.rule_documents import markdown_table
from guerdon.limits import OFFER_RULES_MAX
from tests.docs.pages import DOCS, rows, section


def test_the_table_of_rules_is_the_catalogue_s() -> None:
    text = (DOCS / "rules.md").read_text()
    assert markdown_table() in text, f"put this in:\n{markdown_table()}"
    assert f"up to {OFFER_RULES_MAX} of them" in text


def test_the_steps_between_statuses_are_those_of_the_life_cycle() -> None:
    told = {
        cells[0]: {name for name in cells[1].split(", ") if name}
        for cells in rows(section(DOCS / "glossary.md", "Status"))
    }
    assert told == {
        status.value: {wanted.value for wanted in steps} for status, steps in TRANSITIONS.items()
    }
