"""`guerdon seed`: the demo tenant in a database that is there already."""

import asyncio

from guerdon import bootstrap
from guerdon.cli.console import errors, explained, output, step
from guerdon.cli.present import present_settings


def seed() -> None:
    """Make the demo tenant, its offers and a new key for it; the key is printed once."""
    with explained():
        settings = present_settings()
        with step("Preparing the demo tenant"):
            key = asyncio.run(bootstrap.ensure_demo(settings, None))
    errors.print("This is the only time that the key is shown:")
    output.print(key, markup=False)
