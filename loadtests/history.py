"""What the clients saw: every attempt with every answer it got, as the audit reads it.

An attempt is one request id, sent until its answer is definite, and perhaps sent again after that.
Times are seconds of this machine's monotonic clock, which all its processes share.
"""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from uuid import UUID

import grpc
import msgspec
from google.rpc import (  # type: ignore[import-untyped]  # The package ships no types.
    error_details_pb2,
    status_pb2,
)

CODES = {int(code.value[0]): code for code in grpc.StatusCode}
NUMBERS = {code: number for number, code in CODES.items()}
OK = NUMBERS[grpc.StatusCode.OK]
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE

# After these nobody knows what happened, or nothing did: the same request id is sent again.
INDEFINITE = frozenset(
    NUMBERS[code]
    for code in (
        UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
    )
)

TOTAL_LIMIT = "TOTAL_LIMIT_REACHED"
PRODUCT_LIMIT = "PRODUCT_LIMIT_REACHED"
CUSTOMER_LIMIT = "CUSTOMER_LIMIT_REACHED"
LIMIT_REASONS = (TOTAL_LIMIT, PRODUCT_LIMIT, CUSTOMER_LIMIT)
ORDER_USED = "ORDER_ALREADY_USED"
ID_REUSED = "REQUEST_ID_REUSED"
REVOKED_BEFORE = "REQUEST_REVOKED"
NOT_ACTIVE = "OFFER_NOT_ACTIVE"
# In the trailing metadata of an OK that had been given before.
REPLAYED = ("guerdon-replayed", "true")


class Answer(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One answer. `body` is the RedeemResponse of an OK, else the google.rpc.Status, as bytes."""

    sent_at: float
    answered_at: float
    code: int
    body: bytes = b""
    replayed: bool = False

    @property
    def is_grant(self) -> bool:
        """Whether it says that the use was counted."""
        return self.code == OK

    @property
    def is_definite(self) -> bool:
        """Whether the caller knows the outcome now."""
        return self.code not in INDEFINITE

    @property
    def reason(self) -> str:
        """The ErrorInfo's reason; '' for an OK, and for an error without exactly one."""
        return "" if self.is_grant else reason_in(self.body)


class Attempt(msgspec.Struct, array_like=True):
    """One intended use of an offer, and its answers in the order in which they arrived.

    `others` answered the same id with `other_quantity` pieces instead of `quantity`; `revokes` are
    the answers to Revoke, of which an OK's body is the RevokeResponse.
    """

    request_id: UUID
    offer_id: UUID
    customer_id: UUID
    product_id: UUID | None = None
    answers: list[Answer] = []
    order_ref: str = ""
    quantity: int = 1
    other_quantity: int = 0
    others: list[Answer] = []
    revokes: list[Answer] = []

    @property
    def is_definite(self) -> bool:
        """Whether any answer settled it."""
        return any(answer.is_definite for answer in self.answers)

    @property
    def first_sent_at(self) -> float:
        """When a use could have been counted first; infinity when nothing was ever sent."""
        sent = (answer.sent_at for answer in (*self.answers, *self.others))
        return min(sent, default=float("inf"))


class Goal(msgspec.Struct, frozen=True):
    """What must be counted exactly in the end, because three times as much was asked for.

    None and absent ones are not judged. `each_customer` holds for every customer who asked, or for
    those of `customers` alone.
    """

    offer_id: UUID
    name: str
    total: int | None = None
    targets: dict[UUID, int] = {}
    each_customer: int | None = None
    customers: tuple[UUID, ...] = ()


class Edit(msgspec.Struct, array_like=True, frozen=True):
    """One change of an offer by the admin API. `version` is what an OK named, else 0: nobody knows
    whether it was made, and as which version."""

    offer_id: UUID
    what: str
    sent_at: float
    answered_at: float
    code: int
    version: int = 0


class History(msgspec.Struct):
    """Everything that was asked of the goals' offers; nothing else may be in their rows."""

    tenant_id: UUID
    goals: list[Goal]
    attempts: list[Attempt]
    edits: list[Edit] = []
    is_whole: bool = False
    """Whether it has every revoke and every edit too."""


@lru_cache(maxsize=4096)
def reason_in(status: bytes) -> str:
    """The reason of the one ErrorInfo in a serialized google.rpc.Status; '' when not just one."""
    parsed = status_pb2.Status.FromString(status)
    reasons = []
    for detail in parsed.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            reasons.append(info.reason)
    return reasons[0] if len(reasons) == 1 else ""


def status_in(trailers: Iterable[tuple[str, str | bytes]] | None) -> bytes:
    """The serialized google.rpc.Status in trailing metadata; empty when there is none."""
    for name, value in trailers or ():
        if name == "grpc-status-details-bin" and isinstance(value, bytes):
            return value
    return b""


def write_attempts(path: Path, attempts: Iterable[Attempt]) -> None:
    """For another process to read."""
    path.write_bytes(msgspec.msgpack.encode(list(attempts)))


def read_attempts(path: Path) -> list[Attempt]:
    """What write_attempts wrote."""
    return msgspec.msgpack.decode(path.read_bytes(), type=list[Attempt])
