"""Messages and errors as the model writes them: plain dicts with every field, and Error."""

from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # It ships no types.

from guerdon.api.offers.v1.eligibility_pb2 import Refusal
from guerdon.api.offers.v1.error_reason_pb2 import ErrorReason
from tests.grpc.gate import Failure
from tests.statemachine.model import CODES, Error

PREFIX = "ERROR_REASON_"


def plain(message: Message) -> Any:
    """Every field by its name; an absent message is None, a time is its nanoseconds."""
    if isinstance(message, Timestamp):
        return message.ToNanoseconds()
    if isinstance(message, Refusal):
        reason = ErrorReason.Name(message.reason).removeprefix(PREFIX)
        return Error(reason, dict(message.metadata))
    return {field.name: _plain_field(message, field) for field in message.DESCRIPTOR.fields}


def _plain_field(message: Message, field: Any) -> Any:
    value = getattr(message, field.name)
    if field.is_repeated:
        return [plain(one) if isinstance(one, Message) else one for one in value]
    if field.message_type is None:
        return value
    return plain(value) if message.HasField(field.name) else None


def evaluated(message: Message) -> dict[str, Any]:
    """The same without the time of the evaluation, which only the database knows."""
    answer: dict[str, Any] = plain(message)
    assert answer.pop("evaluated_time") > 0
    return answer


def error_of(failure: Failure) -> Error:
    """The error of a call, whose status code must be its reason's."""
    return _error(failure.code, failure.info)


def result_of(result: Any) -> dict[str, Any] | Error:
    """One item of a RedeemBatchResponse: its redemption, or the error that Redeem would give."""
    if result.WhichOneof("outcome") == "redemption":
        answer: dict[str, Any] = plain(result.redemption)
        return answer
    code = next(code for code in grpc.StatusCode if code.value[0] == result.status.code)
    info = error_details_pb2.ErrorInfo()
    (detail,) = (one for one in result.status.details if one.Is(info.DESCRIPTOR))
    detail.Unpack(info)
    return _error(code, info)


def _error(code: grpc.StatusCode, info: Any) -> Error:
    assert CODES.get(info.reason) == code.name, f"{info.reason} {dict(info.metadata)}: {code}"
    return Error(info.reason, dict(info.metadata))
