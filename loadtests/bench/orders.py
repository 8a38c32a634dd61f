"""What the load generator is told and what it answers: JSON, one order and one answer a line.

Times are seconds of the machine's monotonic clock, as time.monotonic gives them. The Go side is
generator/orders.go.
"""

import re
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec

# Nothing in a round should take so long, in seconds; a call that does is an outcome of its own.
CALL_SECONDS_MAX = 20.0
# Stand-ins in a serialized message, cut out of it: as long as the ids that take their places.
REQUEST_ID = "00000000-0000-0000-0000-000000000001"
CUSTOMER_ID = "00000000-0000-0000-0000-000000000002"
OFFER_ID = "00000000-0000-0000-0000-000000000003"

Field: TypeAlias = Literal["request_id", "customer_id", "offer_id"]
FIELDS: dict[bytes, Field] = {
    REQUEST_ID.encode(): "request_id",
    CUSTOMER_ID.encode(): "customer_id",
    OFFER_ID.encode(): "offer_id",
}


class Template(msgspec.Struct, frozen=True):
    """A request: piece, field, piece, ..., piece. Each call gets a fresh request id, and a customer
    and an offer drawn from the target's.

    With `items` it is that many such messages, each an element of the repeated field `items_field`
    and with ids of its own; with 0 it is the one message itself.
    """

    pieces: list[bytes]
    fields: list[Field]
    items: int = 0
    items_field: int = 1


def template_of(message: bytes, items: int = 0) -> Template:
    """Cuts a serialized message where REQUEST_ID, CUSTOMER_ID and OFFER_ID stand in it."""
    parts = re.split(b"(" + b"|".join(FIELDS) + b")", message)
    return Template(parts[::2], [FIELDS[mark] for mark in parts[1::2]], items)


class Target(msgspec.Struct, frozen=True):
    """A method of a server, and what to send there.

    When `keeps_calls` and when requests have ids, every call is kept for the audit: in
    `calls_file`, which the fleet names. A call is given up after `call_seconds_max`; in an open
    loop they count from its moment.
    """

    name: str
    address: str
    path: str
    template: Template
    customers: list[UUID] = []
    offers: list[UUID] = []
    api_key: str = ""
    call_seconds_max: float = CALL_SECONDS_MAX
    keeps_calls: bool = True
    calls_file: str = ""


class Connect(msgspec.Struct, frozen=True, tag="connect"):
    """Open so many connections more. Answers Connected with all there are."""

    target: Target
    connections: int


class Keep(msgspec.Struct, frozen=True, tag="keep"):
    """Close all connections but those from these local ports. Answers Connected."""

    target: str
    ports: list[int]


class ClosedLoop(msgspec.Struct, frozen=True, tag="closed_loop"):
    """Keep calls in flight from now on. Calls count that end between the two times.

    With `calls_max` it ends when so many were sent. Answers RoundResult.
    """

    target: str
    in_flight: int
    counts_from: float
    counts_until: float
    calls_max: int | None = None


class OpenLoop(msgspec.Struct, frozen=True, tag="open_loop"):
    """Send at random moments from now on, whatever comes back. Calls count whose moment is between
    the two times, and their latencies begin at it. Answers RoundResult."""

    target: str
    calls_per_second: float
    counts_from: float
    counts_until: float
    in_flight_max: int


class PatientLoop(msgspec.Struct, frozen=True, tag="patient_loop"):
    """Callers who send a request again, after the server's pushback, until they know its outcome,
    and then the next one; open ones of an earlier order come first. They arrive within
    `arrival_seconds`. With `settles_only` they send no new one. Answers PatienceResult."""

    target: str
    callers: int
    until: float
    arrival_seconds: float = 0.0
    settles_only: bool = False


class Flush(msgspec.Struct, frozen=True, tag="flush"):
    """Have every call so far in the target's file. Answers Done."""

    target: str


class Drop(msgspec.Struct, frozen=True, tag="drop"):
    """Close the target's connections and its file, and forget it. Answers Done."""

    target: str


Order: TypeAlias = Connect | Keep | ClosedLoop | OpenLoop | PatientLoop | Flush | Drop


class Connected(msgspec.Struct, frozen=True, tag="connected"):
    """The local ports of the target's connections."""

    ports: list[int]


class RoundResult(msgspec.Struct, frozen=True, tag="round_result"):
    """The calls that count, by the number of their status and by the second since `counts_from` in
    which they ended, and their latencies.

    `late` found all calls of `in_flight_max` in flight at their moment, and were sent later;
    `in_flight_max` is how many there were at most.
    """

    calls_by_second: dict[int, list[int]]
    latencies_seconds: list[float]
    late: int
    in_flight_max: int


class PatienceResult(msgspec.Struct, frozen=True, tag="patience_result"):
    """The requests whose outcome is not known yet, and the answers so far that sent a caller away
    without saying for how long."""

    open_requests: int
    unguided: int


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The order is carried out."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The order could not be carried out, and why."""

    reason: str


Answer: TypeAlias = Connected | RoundResult | PatienceResult | Done | Failed
