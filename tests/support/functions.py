"""The SQL functions' texts, to be built wrong on purpose in a test's own database."""

from pathlib import Path

FUNCTIONS_FOLDER = Path(__file__).parents[2] / "migrations" / "functions"


def text_of(function: str) -> str:
    """The file that creates the function, such as "redeem_v1"."""
    return (FUNCTIONS_FOLDER / f"{function}.sql").read_text()


def replace_once(text: str, old: str, new: str) -> str:
    """Fails when the function no longer has the text that a test means to change."""
    assert text.count(old) == 1, (
        f"the function has {text.count(old)} times, not once, the text {old!r}: "
        f"say in this test what it is now"
    )
    return text.replace(old, new)
