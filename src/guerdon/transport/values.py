"""Single values between protos and the domain; the pipeline has validated what is read."""

from datetime import UTC, datetime
from uuid import UUID

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECONDS_A_DAY = 86_400
NANOSECONDS_A_MICROSECOND = 1000


def read_uuid(text: str) -> UUID | None:
    """None for empty."""
    return UUID(text) if text else None


def write_uuid(identifier: UUID | None) -> str:
    """Empty for None."""
    return "" if identifier is None else str(identifier)


def write_optional_time(moment: datetime | None) -> Timestamp | None:
    """None stays absent."""
    return None if moment is None else write_time(moment)


def write_time(moment: datetime) -> Timestamp:
    """Exact to the microsecond, which is what Postgres keeps."""
    since = moment - EPOCH
    return Timestamp(
        seconds=since.days * SECONDS_A_DAY + since.seconds,
        nanos=since.microseconds * NANOSECONDS_A_MICROSECOND,
    )


def read_time(moment: Timestamp) -> datetime:
    """In UTC; nanoseconds beyond the microsecond are dropped."""
    return moment.ToDatetime(tzinfo=UTC)


def read_optional_time(message: Message, name: str) -> datetime | None:
    """The message's field of that name; None when it is absent."""
    return read_time(getattr(message, name)) if message.HasField(name) else None
