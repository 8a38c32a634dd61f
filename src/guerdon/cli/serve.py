"""`guerdon serve`: the server for real, with the databases that the environment names."""

import asyncio
from typing import Annotated

import structlog
import typer

from guerdon.cli.console import explained
from guerdon.config import Settings, load_settings
from guerdon.serving.logs import configure_logs
from guerdon.serving.supervisor import Serving, supervise

log = structlog.get_logger()

Workers = Annotated[int | None, typer.Option(help="Processes that share the port.")]
Host = Annotated[str | None, typer.Option(help="Address to listen on.")]
Port = Annotated[int | None, typer.Option(help="Port for gRPC; 0 takes a free one.")]
MonitorPort = Annotated[int | None, typer.Option(help="Port for metrics and health over HTTP.")]


def serve(
    workers: Workers = None, host: Host = None, port: Port = None, monitor_port: MonitorPort = None
) -> None:
    """Serve with the Postgres and Redis that the environment names."""
    with explained():
        settings = load_settings(workers=workers, host=host, port=port, monitor_port=monitor_port)
        check_serving(settings)
        configure_logs(settings.log_format, settings.log_level)
        asyncio.run(supervise(settings, announce))


def check_serving(settings: Settings) -> None:
    """Raises SettingsInvalid for what only a server needs."""
    assert settings.pepper


def announce(serving: Serving) -> None:
    log.info("serving", address=serving.address, monitor=serving.monitor_url)
