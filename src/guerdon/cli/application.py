"""Puts the commands together. A command's module is imported when the command is used: `call` need
not wait for what only `serve` needs."""

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from guerdon import __version__

COMMANDS = {
    "dev": "guerdon.cli.dev",
    "serve": "guerdon.cli.serve",
    "call": "guerdon.cli.call",
    "migrate": "guerdon.cli.migrate",
    "seed": "guerdon.cli.seed",
    "tenants": "guerdon.cli.tenants",
    "keys": "guerdon.cli.keys",
    "doctor": "guerdon.cli.doctor",
}
"""Each module has a function or a Typer of the command's name."""


class LazyGroup(TyperGroup):
    """Commands by name, `version` first."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        return _load(cmd_name)


def _load(name: str) -> Any:
    content = getattr(import_module(COMMANDS[name]), name)
    if not isinstance(content, typer.Typer):
        alone = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
        alone.command(name)(content)
        content = alone
    command = typer.main.get_command(content)
    command.name = name
    return command


app = typer.Typer(
    cls=LazyGroup, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False
)


@app.callback()
def guerdon() -> None:
    """Decides who may have which offer, prices it, and counts every use exactly."""


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    app()
