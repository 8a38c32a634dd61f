"""`guerdon keys`: API keys made beside the database, as a tenant's first key must be."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer

from guerdon import bootstrap
from guerdon.cli.console import EXIT_USAGE, errors, explained, fail, output
from guerdon.cli.present import present_settings
from guerdon.cli.state import read_demo_access
from guerdon.config import Settings
from guerdon.domain.api_keys import Scope, parse_key
from guerdon.domain.errors import FieldsInvalid
from guerdon.domain.identifiers import TenantId

keys = typer.Typer(add_completion=False, no_args_is_help=True, help="Make API keys.")


@keys.callback()
def _keys() -> None:
    """A group of its own, so that further commands find their place."""


@keys.command()
def create(
    tenant: Annotated[UUID | None, typer.Option(help="Tenant; the demo's by default.")] = None,
    name: Annotated[str, typer.Option(help="For people.")] = "made on the command line",
    scope: Annotated[
        list[Scope] | None, typer.Option(help="May be given several times; all by default.")
    ] = None,
    days: Annotated[int | None, typer.Option(help="Days until it expires.", min=1)] = None,
) -> None:
    """Make an API key and print it: it cannot be shown again."""
    tenant_id = tenant or _demo_tenant()
    if tenant_id is None:
        fail("Whose key? Give --tenant: no `guerdon dev` has made a demo tenant here.", EXIT_USAGE)
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    with explained():
        settings = present_settings()
        try:
            text = asyncio.run(
                _create(settings, TenantId(tenant_id), name, scope or list(Scope), expires_at)
            )
        except FieldsInvalid as error:
            fail("\n".join(f"{v.path}: {v.description}" for v in error.violations), EXIT_USAGE)
    errors.print("This is the only time that the key is shown:")
    output.print(text, markup=False)


def _demo_tenant() -> UUID | None:
    access = read_demo_access()
    key = parse_key(access.api_key) if access else None
    return key.tenant_id if key else None


async def _create(
    settings: Settings,
    tenant_id: TenantId,
    name: str,
    scopes: list[Scope],
    expires_at: datetime | None,
) -> str:
    async with bootstrap.control_plane(settings) as plane:
        return (await plane.keys.create(tenant_id, name, scopes, expires_at)).secret
