"""The queries, a file each: `queries.text("redeem")` is the text of redeem.sql."""

from functools import cache
from importlib.resources import files


@cache
def text(name: str) -> str:
    """The SQL of one query file, without its ending."""
    return (files(__package__) / f"{name}.sql").read_text(encoding="utf-8")
