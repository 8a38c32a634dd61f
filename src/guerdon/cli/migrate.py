"""`guerdon migrate`: the schema up, down, or where it stands."""

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from guerdon.adapters.postgres.migrate import Standing, migrate_down, migrate_up, read_standing
from guerdon.cli.console import errors, explained, output, step
from guerdon.cli.present import present_settings


class Direction(StrEnum):
    """What to do."""

    UP = "up"
    DOWN = "down"
    STATUS = "status"


def migrate(
    direction: Annotated[Direction, typer.Argument()] = Direction.UP,
    steps: Annotated[int, typer.Option(help="Migrations to take back.", min=1)] = 1,
) -> None:
    """Bring the schema up, take it back, or show where it stands."""
    with explained():
        url = present_settings().direct_url
        if direction is Direction.STATUS:
            print_standing(asyncio.run(read_standing(url)))
            return
        with step("Migrating the database"):
            up = direction is Direction.UP
            done = asyncio.run(migrate_up(url) if up else migrate_down(url, steps=steps))
        for name in done:
            output.print(f"{'applied' if up else 'taken back'} {name}", markup=False)
        if not done:
            errors.print("There is nothing to do.")


def print_standing(standing: Standing) -> None:
    """Names of files; ends with 1 when something is pending, for scripts."""
    for applied in standing.applied:
        output.print(f"applied  {applied.name}  {applied.applied_at:%Y-%m-%d %H:%M}", markup=False)
    for name in standing.pending:
        output.print(f"pending  {name}", markup=False)
    for name in standing.functions_pending:
        output.print(f"pending  functions/{name}", markup=False)
    if not standing.is_current:
        raise typer.Exit(1)
