"""The command line: `guerdon COMMAND`, also `python -m guerdon COMMAND`."""

import typer

from guerdon import __version__

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def guerdon() -> None:
    """Decides who may have which offer, prices it, and counts every use exactly."""


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    app()


if __name__ == "__main__":
    main()
