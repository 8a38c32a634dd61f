"""`guerdon dev`: everything that a first Redeem needs, from nothing, with one command."""

import asyncio
import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path

from guerdon import __version__, bootstrap
from guerdon.adapters.postgres.migrate import migrate_up
from guerdon.cli.console import errors, explained, output, step
from guerdon.cli.present import PEPPER_VARIABLE
from guerdon.cli.serve import Host, MonitorPort, Port, Workers
from guerdon.cli.state import (
    DemoAccess,
    only_one,
    own_pepper,
    read_demo_access,
    write_demo_access,
)
from guerdon.config import Environment, Settings, load_settings
from guerdon.controlplane import demo
from guerdon.embedded import Servers, development_servers
from guerdon.serving.logs import configure_logs
from guerdon.serving.supervisor import Serving, supervise

# Five uses for each customer: enough to try it more than once.
SAMPLE_REDEEM = json.dumps(
    {
        "code": "SAVE50",
        "customerId": str(demo.ADA),
        "line": {"quantity": 1, "unitPriceMinor": 50_000},
        "currency": demo.TENANT.currency,
    }
)
LOG_LEVEL_VARIABLE = "GUERDON_LOG_LEVEL"


def dev(
    workers: Workers = None, host: Host = None, port: Port = None, monitor_port: MonitorPort = None
) -> None:
    """Start a server with all it needs: databases, schema, demo offers and a key for them.

    Postgres and Redis are brought along unless DATABASE_URL and REDIS_URL name others. Their data
    stays from one start to the next.
    """
    with explained(), ExitStack() as stack:
        stack.enter_context(only_one())
        servers = _start_servers(stack)
        settings = load_settings(
            environment=Environment.DEVELOPMENT,
            database_url=servers.database_url,
            redis_url=servers.redis_url,
            api_key_pepper=os.environ.get(PEPPER_VARIABLE) or own_pepper(),
            # The panel below says what matters; a log of its own would bury it.
            log_level=os.environ.get(LOG_LEVEL_VARIABLE) or "warning",
            reflection=True,
            workers=workers,
            host=host,
            port=port,
            monitor_port=monitor_port,
        )
        configure_logs(settings.log_format, settings.log_level)
        with step("Migrating the database"):
            asyncio.run(migrate_up(settings.direct_url))
        new_key = _ensure_demo(settings)
        asyncio.run(supervise(settings, lambda serving: _welcome(serving, new_key)))
        errors.print("Stopping.")


def _start_servers(stack: ExitStack) -> Servers:
    given = {name: os.environ.get(name) or None for name in ("DATABASE_URL", "REDIS_URL")}
    with step("Starting Postgres and Redis"):
        return stack.enter_context(development_servers(given["DATABASE_URL"], given["REDIS_URL"]))


def _ensure_demo(settings: Settings) -> str | None:
    """Demo tenant, offers and key; a key that had to be made is answered, to be shown once."""
    known = read_demo_access()
    with step("Preparing the demo tenant"):
        key = asyncio.run(bootstrap.ensure_demo(settings, known.api_key if known else None))
    if known is not None and known.api_key == key:
        return None
    write_demo_access(DemoAccess(address="", api_key=key))
    return key


def _welcome(serving: Serving, new_key: str | None) -> None:
    access = read_demo_access()
    assert access is not None, "it was written before the server started"
    file = write_demo_access(DemoAccess(address=serving.address, api_key=access.api_key))
    guerdon = _command()
    output.print(f"[bold]Guerdon {__version__} is serving[/bold]; Ctrl-C ends it.")
    _say("gRPC", serving.address)
    _say("metrics", f"{serving.monitor_url}/metrics")
    _say("health", f"{serving.monitor_url}/readyz")
    if new_key:
        _say("API key", new_key)
        _say("", "of the demo tenant, shown this once; `call` below finds it by itself")
    else:
        _say("API key", f"as before, in {file}; another one: {guerdon} keys create")
    _say("try", f"{guerdon} call Redeem '{SAMPLE_REDEEM}'")
    _say("or", f"{guerdon} call --list")
    sys.stdout.flush()


def _say(label: str, value: str) -> None:
    """One line, never folded: it is there to be copied."""
    output.print(f"  {label:8} {value}", markup=False)


def _command() -> str:
    """How this user reaches the command line: through ./dev in a checkout."""
    in_checkout = Path("dev").is_file() and Path(sys.prefix).parent == Path.cwd()
    return "./dev" if in_checkout else "guerdon"
