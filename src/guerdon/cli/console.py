"""How commands speak to people: progress and errors on stderr, results on stdout."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import NoReturn

from rich.console import Console

from guerdon.adapters.postgres.migration_files import MigrationError
from guerdon.config import SettingsInvalid
from guerdon.domain.errors import GuerdonError
from guerdon.embedded import EmbeddedServerError
from guerdon.serving.messages import CannotServe, ExitCode, NotYet

errors = Console(stderr=True, highlight=False, soft_wrap=True)
output = Console(highlight=False, soft_wrap=True)

# Arguments that cannot be worked with, as typer tells it too.
EXIT_USAGE = 2
# As shells tell it: 128 and the number of SIGINT.
EXIT_INTERRUPTED = 130

# Seconds a step may take before a log without a terminal mentions it.
QUIET_SECONDS = 2.0


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    """A spinner while the block runs; without a terminal a line, and only when it took long."""
    if errors.is_terminal:
        with errors.status(text):
            yield
        return
    started = time.monotonic()
    yield
    seconds = time.monotonic() - started
    if seconds > QUIET_SECONDS:
        errors.print(f"{text}: {seconds:.0f} s", markup=False)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Errors that a person can act on end the command with their text, not with a traceback."""
    try:
        yield
    except (SettingsInvalid, CannotServe) as error:
        fail(str(error), ExitCode.CONFIGURATION)
    except MigrationError as error:
        fail(f"The database could not be migrated: {error}", ExitCode.UNAVAILABLE)
    except GuerdonError as error:
        fail(f"The database did not do it: {error.__cause__ or error}", ExitCode.UNAVAILABLE)
    except EmbeddedServerError as error:
        fail(f"The development servers cannot be started: {error}", ExitCode.UNAVAILABLE)
    except KeyboardInterrupt:
        fail("Interrupted.", EXIT_INTERRUPTED)
    except NotYet as error:
        fail(str(error), ExitCode.UNAVAILABLE)


def fail(text: str, code: int) -> NoReturn:
    """Ends the process."""
    errors.print(text, markup=False, style="red")
    sys.exit(code)
