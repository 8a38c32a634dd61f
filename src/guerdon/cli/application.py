"""Puts the commands together."""

import typer

from guerdon import __version__
from guerdon.cli.serve import serve, worker

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)


@app.callback()
def guerdon() -> None:
    """Decides who may have which offer, prices it, and counts every use exactly."""


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


app.command()(serve)
app.command(hidden=True)(worker)


def main() -> None:
    app()
