"""Single values between protos and the domain; the pipeline has validated what is read."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECONDS_A_DAY = 86_400
NANOSECONDS_A_MICROSECOND = 1000


def read_uuid(text: str) -> UUID:
    """Of a field that is always given. msgspec reads and writes UUIDs ten times as fast as their
    class does, and every call has several."""
    return msgspec.convert(text, UUID)


def read_optional_uuid(text: str) -> UUID | None:
    """None for empty."""
    return read_uuid(text) if text else None


def write_uuid(identifier: UUID) -> str:
    """In lower case, with hyphens."""
    text: str = msgspec.to_builtins(identifier)
    return text


def write_optional_uuid(identifier: UUID | None) -> str:
    """Empty for None."""
    return "" if identifier is None else write_uuid(identifier)


def write_optional_time(moment: datetime | None) -> Timestamp | None:
    """None stays absent."""
    return None if moment is None else write_time(moment)


def write_time(moment: datetime) -> Timestamp:
    """Exact to the microsecond, which is what Postgres keeps."""
    message = Timestamp()
    fill_time(message, moment)
    return message


def fill_time(message: Timestamp, moment: datetime) -> None:
    """The same into a message that is there."""
    since = moment - EPOCH
    message.seconds = since.days * SECONDS_A_DAY + since.seconds
    message.nanos = since.microseconds * NANOSECONDS_A_MICROSECOND


def read_time(moment: Timestamp) -> datetime:
    """In UTC; nanoseconds beyond the microsecond are dropped."""
    return moment.ToDatetime(tzinfo=UTC)


def read_optional_time(message: Message, name: str) -> datetime | None:
    """The message's field of that name; None when it is absent."""
    return read_time(getattr(message, name)) if message.HasField(name) else None
