"""The currencies of the database are those of the domain, with the same decimals."""

import asyncpg

from guerdon.domain.money import EXPONENTS


async def test_the_table_and_the_domain_know_the_same_currencies(
    owner: asyncpg.Connection,
) -> None:
    rows = await owner.fetch("select code, exponent from guerdon.currencies")
    assert {row["code"]: row["exponent"] for row in rows} == EXPONENTS
