"""`guerdon tenants`: businesses, founded beside the database: nobody could call for them yet."""

import asyncio
from typing import Annotated

import typer

from guerdon import bootstrap
from guerdon.cli.console import EXIT_USAGE, errors, explained, fail, output
from guerdon.cli.present import present_settings
from guerdon.controlplane.found_tenant import NewTenant
from guerdon.domain.errors import FieldsInvalid
from guerdon.domain.tenants import PriceSource, Rounding

tenants = typer.Typer(add_completion=False, no_args_is_help=True, help="Found tenants.")


@tenants.callback()
def _tenants() -> None:
    """A group of its own, so that further commands find their place."""


@tenants.command()
def create(
    slug: Annotated[str, typer.Option(help="Its name in the directory: a-z, 0-9 and -.")],
    name: Annotated[str, typer.Option(help="For people.")],
    currency: Annotated[str, typer.Option(help="ISO 4217, as NGN. It stays.")],
    time_zone: Annotated[
        str, typer.Option(help="IANA, as Africa/Lagos: whose days rules count. It stays.")
    ],
    locale: Annotated[str, typer.Option(help="Of titles that lack the asked language.")] = "en",
    rounding: Annotated[Rounding, typer.Option(help="Of a discount, once.")] = Rounding.HALF_UP,
    price_source: Annotated[
        PriceSource, typer.Option(help="Whose unit price is the list price.")
    ] = PriceSource.CALLER,
    stock_limits: Annotated[
        bool, typer.Option("--stock-limits", help="Too little stock refuses.")
    ] = False,
) -> None:
    """Found a tenant and print its id."""
    wanted = NewTenant(
        slug=slug,
        name=name,
        currency=currency,
        time_zone=time_zone,
        rounding=rounding,
        price_source=price_source,
        stock_limits=stock_limits,
        default_locale=locale,
    )
    with explained():
        try:
            tenant_id = asyncio.run(bootstrap.found_tenant(present_settings(), wanted))
        except FieldsInvalid as error:
            wrong = (f"{_option(one.path)}: {one.description}" for one in error.violations)
            fail("\n".join(wrong), EXIT_USAGE)
    output.print(str(tenant_id), markup=False)
    errors.print("Next, its first key:", markup=False)
    errors.print(f'guerdon keys create --tenant {tenant_id} --name "first key"', markup=False)


def _option(field: str) -> str:
    return f"--{field.replace('_', '-')}"
