"""What a client means to do, written down before it is sent: one append-only file a client.

A record is its length, the CRC-32 of its bytes, and MessagePack. It is handed to the system before
the call leaves, so it survives a kill -9 of its writer; of a record that was torn by the kill
nothing was sent yet, and reading stops before it. Times are seconds of the machine's monotonic
clock.
"""

import contextlib
import gc
import os
import struct
import zlib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Self
from uuid import UUID

import msgspec

from loadtests.history import NUMBERS, UNAVAILABLE, Answer, Attempt

HEADER = struct.Struct("<II")


class Method(StrEnum):
    """What was called for a request id."""

    REDEEM = "redeem"
    OTHER = "other"
    """Redeem with the same id and another body."""
    REVOKE = "revoke"


class Intent(msgspec.Struct, array_like=True, frozen=True, tag="i"):
    """One use that is wanted, by the id that every sending of it carries."""

    request_id: UUID
    tenant_id: UUID
    offer_id: UUID
    customer_id: UUID
    product_id: UUID | None = None
    order_ref: str = ""
    quantity: int = 1
    other_quantity: int = 0


class Sending(msgspec.Struct, array_like=True, frozen=True, tag="s"):
    """A call is about to leave; `number` counts a file's sendings, one for each item of a batch."""

    number: int
    request_id: UUID
    method: Method
    sent_at: float


class Hearing(msgspec.Struct, array_like=True, frozen=True, tag="h"):
    """The answer to the sending of that number."""

    number: int
    answered_at: float
    code: int
    body: bytes = b""
    replayed: bool = False


class Stray(msgspec.Struct, array_like=True, frozen=True, tag="x"):
    """An answer to a call that no limit decides: a look at another tenant's things, a quote."""

    tenant_id: UUID
    call: str
    is_foreign: bool
    sent_at: float
    answered_at: float
    code: int
    body: bytes = b""


Record = Intent | Sending | Hearing | Stray
_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Record)


class IntentLog:
    """Writes one client's file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._sendings = 0

    def write(self, record: Record) -> None:
        """Returns when a kill of this process can no longer lose it."""
        body = _encode(record)
        written = os.write(self._file, HEADER.pack(len(body), zlib.crc32(body)) + body)
        if written != HEADER.size + len(body):
            raise OSError(f"only {written} bytes of a record were written: the disk is full")

    def next_number(self) -> int:
        """For the next Sending."""
        self._sendings += 1
        return self._sendings

    def close(self) -> None:
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_records(path: Path) -> Iterator[Record]:
    """In the order of writing, up to a record that is torn."""
    content = memoryview(path.read_bytes())
    start = 0
    while start + HEADER.size <= len(content):
        length, checksum = HEADER.unpack_from(content, start)
        body = content[start + HEADER.size : start + HEADER.size + length]
        if len(body) < length or zlib.crc32(body) != checksum:
            return
        yield _decoder.decode(body)
        start += HEADER.size + length


class Told(msgspec.Struct):
    """All that a run's clients wrote down, put together."""

    attempts: dict[UUID, Attempt] = {}
    tenants: dict[UUID, UUID] = {}
    intents: dict[UUID, Intent] = {}
    strays: list[Stray] = []


@contextlib.contextmanager
def without_collecting() -> Iterator[None]:
    """Millions of records that all stay: to look through them for cycles again and again takes a
    good part of the time, and finds none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_told(files: list[Path]) -> Told:
    """Sendings without an answer become one that never arrived and left the outcome open."""
    told = Told()
    with without_collecting():
        for file in files:
            _read_file(file, told)
    for attempt in told.attempts.values():
        attempt.answers.sort(key=_moment)
        attempt.others.sort(key=_moment)
        attempt.revokes.sort(key=_moment)
    return told


def _moment(answer: Answer) -> float:
    return answer.sent_at


def _read_file(file: Path, told: Told) -> None:
    open_sendings: dict[int, Sending] = {}
    for record in read_records(file):
        match record:
            case Hearing():
                sending = open_sendings.pop(record.number)
                answer = Answer(
                    sending.sent_at,
                    record.answered_at,
                    record.code,
                    record.body,
                    record.replayed,
                )
                answers_by(told, sending).append(answer)
            case Sending():
                open_sendings[record.number] = record
            case Intent():
                _add_intent(told, record)
            case Stray():
                told.strays.append(record)
    for sending in open_sendings.values():
        unheard = Answer(sending.sent_at, float("inf"), NUMBERS[UNAVAILABLE])
        answers_by(told, sending).append(unheard)


def _add_intent(told: Told, intent: Intent) -> None:
    """The settling of a run writes an intent down again, and it is still the same attempt."""
    if intent.request_id in told.attempts:
        return
    told.tenants[intent.request_id] = intent.tenant_id
    told.intents[intent.request_id] = intent
    told.attempts[intent.request_id] = Attempt(
        intent.request_id,
        intent.offer_id,
        intent.customer_id,
        intent.product_id,
        [],
        intent.order_ref,
        intent.quantity,
        intent.other_quantity,
    )


def answers_by(told: Told, sending: Sending) -> list[Answer]:
    """Where the answer to this sending belongs."""
    attempt = told.attempts[sending.request_id]
    match sending.method:
        case Method.REDEEM:
            return attempt.answers
        case Method.OTHER:
            return attempt.others
        case Method.REVOKE:
            return attempt.revokes
