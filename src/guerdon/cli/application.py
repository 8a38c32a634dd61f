"""Puts the commands together."""

import typer

from guerdon import __version__
from guerdon.cli.call import call
from guerdon.cli.dev import dev
from guerdon.cli.doctor import doctor
from guerdon.cli.keys import keys
from guerdon.cli.migrate import migrate
from guerdon.cli.seed import seed
from guerdon.cli.serve import serve

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)


@app.callback()
def guerdon() -> None:
    """Decides who may have which offer, prices it, and counts every use exactly."""


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


for command in (dev, serve, call, migrate, seed, doctor):
    app.command()(command)
app.add_typer(keys, name="keys")


def main() -> None:
    app()
