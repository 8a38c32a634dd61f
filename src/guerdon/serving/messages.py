"""What supervisor and worker tell each other: JSON lines over a socket pair.

The supervisor sends one Order. The worker sends a Report whenever its state changes and after every
proof that it can write. The end of either side's stream means that the other process is gone.
"""

from enum import StrEnum

import msgspec


class CannotServe(Exception):
    """It cannot work like this, and another try would end alike; the text says what to do."""


class NotYet(Exception):
    """Something it needs is away; another try may succeed. The text says what."""


class Phase(StrEnum):
    """starting -> serving -> draining; any of them ends with the process."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


class Order(msgspec.Struct, frozen=True):
    """How to serve. `settings` is config.settings_to_json's; the port in it is reserved."""

    worker: int
    settings: str


class Report(msgspec.Struct, frozen=True):
    """The worker's state. `problem` says why it cannot start or write, for people."""

    phase: Phase
    writable: bool = False
    problem: str = ""


class ExitCode:
    """How a worker or a command ends; the numbers are those of sysexits.h."""

    UNAVAILABLE = 69
    """Something it needs is away: worth another try."""
    DEFECT = 70
    CONFIGURATION = 78
    """It cannot work like this: another try would end alike."""


def encode(message: Order | Report) -> bytes:
    """One line; JSON has no bare line breaks inside."""
    return msgspec.json.encode(message) + b"\n"


def decode_order(line: bytes) -> Order:
    """Raises msgspec.DecodeError for anything else."""
    return msgspec.json.decode(line, type=Order)


def decode_report(line: bytes) -> Report:
    """Raises msgspec.DecodeError for anything else."""
    return msgspec.json.decode(line, type=Report)
