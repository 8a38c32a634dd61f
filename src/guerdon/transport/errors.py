"""The one place that knows gRPC status codes: errors of every kind become one answer each.

An answer holds the code, a sentence, exactly one ErrorInfo and, where they say more, BadRequest,
PreconditionFailure, QuotaFailure or RetryInfo. Nothing in it comes from an exception's text.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import grpc
import msgspec
from google.protobuf.message import Message
from google.rpc import (  # type: ignore[import-untyped]  # The package ships no types.
    error_details_pb2,
    status_pb2,
)

from guerdon.domain import errors
from guerdon.domain.identifiers import OfferId
from guerdon.domain.refusals import Refused
from guerdon.limits import ERROR_DETAILS_BYTES_MAX

DOMAIN = "guerdon"
DETAILS_TRAILER = "grpc-status-details-bin"
PUSHBACK_TRAILER = "grpc-retry-pushback-ms"
# Answers kept ready. A sold-out offer refuses thousands of callers with the same words, and
# building those costs more than all else that a refusal does in Python.
ANSWERS_CACHED_MAX = 1024

Variables = Mapping[str, str | int]
Wait = Callable[[], float]
"""Tells the seconds after which a caller may try again; asked only for answers that say so."""
Code = grpc.StatusCode


class Meaning(NamedTuple):
    """What a reason is answered with."""

    code: grpc.StatusCode
    sentence: str


# In the order of ErrorReason; a test holds the two lists equal.
MEANINGS: dict[str, Meaning] = {
    "MESSAGE_TOO_LARGE": Meaning(Code.INVALID_ARGUMENT, "The request message is too large."),
    "MALFORMED_MESSAGE": Meaning(
        Code.INVALID_ARGUMENT, "The request is not a message of the method's type."
    ),
    "METHOD_UNKNOWN": Meaning(Code.UNIMPLEMENTED, "There is no such method."),
    "API_KEY_MISSING": Meaning(
        Code.UNAUTHENTICATED, "The call carries no API key in authorization or x-api-key."
    ),
    "API_KEY_INVALID": Meaning(Code.UNAUTHENTICATED, "The API key is not valid."),
    "API_KEY_EXPIRED": Meaning(Code.UNAUTHENTICATED, "The API key has expired."),
    "API_KEY_REVOKED": Meaning(Code.UNAUTHENTICATED, "The API key was revoked."),
    "SCOPE_MISSING": Meaning(
        Code.PERMISSION_DENIED, "The API key lacks the scope that the method needs."
    ),
    "FIELDS_INVALID": Meaning(Code.INVALID_ARGUMENT, "Fields of the request are not valid."),
    "PAGE_TOKEN_INVALID": Meaning(
        Code.INVALID_ARGUMENT, "The page token is not one that this query gave."
    ),
    "REQUEST_REVOKED": Meaning(
        Code.FAILED_PRECONDITION, "The request was revoked before it arrived."
    ),
    "REQUEST_ID_REUSED": Meaning(
        Code.ALREADY_EXISTS, "The request id was used for another request."
    ),
    "OFFER_NOT_FOUND": Meaning(Code.NOT_FOUND, "There is no such offer."),
    "OFFER_NOT_ACTIVE": Meaning(Code.FAILED_PRECONDITION, "The offer is not active."),
    "OFFER_NOT_STARTED": Meaning(Code.FAILED_PRECONDITION, "The offer has not started."),
    "OFFER_ENDED": Meaning(Code.FAILED_PRECONDITION, "The offer has ended."),
    "SERVICE_TYPE_NOT_COVERED": Meaning(
        Code.FAILED_PRECONDITION, "The offer is for another type of service."
    ),
    "CURRENCY_NOT_COVERED": Meaning(Code.FAILED_PRECONDITION, "The offer is in another currency."),
    "PRODUCT_NOT_COVERED": Meaning(
        Code.FAILED_PRECONDITION, "The offer does not cover the product."
    ),
    "QUANTITY_TOO_LOW": Meaning(
        Code.FAILED_PRECONDITION, "The line has fewer pieces than the offer needs."
    ),
    "QUANTITY_TOO_HIGH": Meaning(
        Code.FAILED_PRECONDITION, "The line has more pieces than the offer allows."
    ),
    "OUT_OF_STOCK": Meaning(Code.FAILED_PRECONDITION, "The product is out of stock."),
    "AMOUNT_TOO_LARGE": Meaning(
        Code.INVALID_ARGUMENT, "Quantity times unit price is larger than a line may cost."
    ),
    "PRICE_MISMATCH": Meaning(Code.FAILED_PRECONDITION, "The unit price is not the catalogue's."),
    "PRICE_CHANGED": Meaning(
        Code.FAILED_PRECONDITION, "The price is not the one that the caller expects."
    ),
    "CUSTOMER_BLOCKED": Meaning(Code.FAILED_PRECONDITION, "The customer is blocked."),
    "NOT_IN_AUDIENCE": Meaning(
        Code.FAILED_PRECONDITION, "The customer is not among those whom the offer is for."
    ),
    "NOT_ELIGIBLE": Meaning(
        Code.FAILED_PRECONDITION, "The customer does not pass the offer's rules."
    ),
    "ORDER_ALREADY_USED": Meaning(Code.ALREADY_EXISTS, "The order has used the offer already."),
    "TOTAL_LIMIT_REACHED": Meaning(Code.RESOURCE_EXHAUSTED, "All uses of the offer are taken."),
    "PRODUCT_LIMIT_REACHED": Meaning(
        Code.RESOURCE_EXHAUSTED, "All uses of the offer for this product are taken."
    ),
    "CUSTOMER_LIMIT_REACHED": Meaning(
        Code.RESOURCE_EXHAUSTED, "The customer has used the offer as often as one may."
    ),
    "CAPACITY_HELD": Meaning(Code.UNAVAILABLE, "What is left is held by others and may come back."),
    "OVERLOADED": Meaning(Code.UNAVAILABLE, "The server has too much to do; nothing was done."),
    "DEADLINE_TOO_SHORT": Meaning(
        Code.DEADLINE_EXCEEDED, "The deadline left no time to begin; nothing was done."
    ),
    "DEADLINE_EXCEEDED": Meaning(
        Code.DEADLINE_EXCEEDED, "The time ran out; a retry of the same request tells the outcome."
    ),
    "DEPENDENCY_UNAVAILABLE": Meaning(
        Code.UNAVAILABLE, "The database is not available; nothing was done."
    ),
    "OUTCOME_UNKNOWN": Meaning(
        Code.UNAVAILABLE, "The outcome is not known; a retry of the same request tells it."
    ),
    "CONFLICT": Meaning(Code.ABORTED, "Others held the same rows for too long; nothing was done."),
    "REDEMPTION_NOT_FOUND": Meaning(Code.NOT_FOUND, "There is no such redemption."),
    "ETAG_MISMATCH": Meaning(Code.ABORTED, "The resource was changed since it was read."),
    "OFFER_ALREADY_EXISTS": Meaning(Code.ALREADY_EXISTS, "An offer with this id exists."),
    "CODE_ALREADY_USED": Meaning(Code.ALREADY_EXISTS, "Another live offer has this code."),
    "OFFER_INVALID": Meaning(Code.FAILED_PRECONDITION, "The offer cannot become active as it is."),
    "STATUS_TRANSITION_ILLEGAL": Meaning(
        Code.FAILED_PRECONDITION, "The offer's status does not lead to the wanted one."
    ),
    "TRANSACTION_CONFLICT": Meaning(
        Code.ALREADY_EXISTS, "Transactions were pushed before with other content."
    ),
    "API_KEY_NOT_FOUND": Meaning(Code.NOT_FOUND, "There is no such API key."),
    "INTERNAL": Meaning(Code.INTERNAL, "The server failed; the fault is logged."),
}

RETRYABLE_REASONS = frozenset(
    reason for reason, meaning in MEANINGS.items() if meaning.code is Code.UNAVAILABLE
) | {"CONFLICT"}
# What PreconditionFailure and QuotaFailure name as their subject: the first of these that is told.
SUBJECTS = ("product_id", "offer_id", "request_id")
# By kind of what is not there: the reason, and the variable that names it.
NOT_FOUND_REASONS = {
    "offer": ("OFFER_NOT_FOUND", "offer_id"),
    "redemption": ("REDEMPTION_NOT_FOUND", "request_id"),
    "api_key": ("API_KEY_NOT_FOUND", "api_key_id"),
}
PLAIN_REASONS: dict[type[errors.GuerdonError], str] = {
    errors.PageTokenInvalid: "PAGE_TOKEN_INVALID",
    errors.Overloaded: "OVERLOADED",
    errors.DependencyUnavailable: "DEPENDENCY_UNAVAILABLE",
    errors.OutcomeUnknown: "OUTCOME_UNKNOWN",
    errors.DeadlinePassed: "DEADLINE_TOO_SHORT",
    errors.Conflict: "CONFLICT",
}


class CallFailed(Exception):
    """An error of the transport itself, by its reason."""

    def __init__(self, reason: str, variables: Variables | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.variables = variables or {}


class ErrorAnswer(msgspec.Struct, frozen=True):
    """An error as it goes over the wire. `status` is a serialized google.rpc.Status."""

    code: grpc.StatusCode
    reason: str
    sentence: str
    status: bytes
    trailers: tuple[tuple[str, str | bytes], ...]


def sentence_of(reason: str) -> str:
    """The English sentence of a reason, for logs and for refusals that are data."""
    return MEANINGS[reason].sentence


def is_defect(error: BaseException) -> bool:
    """Whether the error is a bug of ours, which belongs in the log with its stack."""
    return isinstance(error, errors.Defect) or not isinstance(
        error, errors.GuerdonError | Refused | CallFailed
    )


def answer_error(error: BaseException, server_request_id: str, wait: Wait) -> ErrorAnswer:
    """The answer to any error; one that nobody expected is INTERNAL and tells only the id."""
    match error:
        case Refused():
            return answer(error.refusal.reason.name, error.refusal.details, wait)
        case CallFailed():
            return answer(error.reason, error.variables, wait)
        case errors.FieldsInvalid():
            return answer_violations(error)
        case errors.GuerdonError() if told := _tell(error):
            return answer(*told, wait)
    return answer("INTERNAL", {"server_request_id": server_request_id}, wait)


def answer(reason: str, variables: Variables, wait: Wait) -> ErrorAnswer:
    """The answer of a reason with its variables; equal ones give the same object."""
    retry_after_seconds = wait() if reason in RETRYABLE_REASONS else None
    return _answer(reason, tuple(variables.items()), retry_after_seconds)


def answer_violations(error: errors.FieldsInvalid) -> ErrorAnswer:
    """All violations at once, as many as a client's cap on metadata lets through."""
    reason, variables = "FIELDS_INVALID", _of_offer(None)
    if isinstance(error, errors.OfferInvalid):
        reason, variables = "OFFER_INVALID", _of_offer(error.offer_id)
    variables["violation_count"] = len(error.violations)
    details = [*_details(reason, tuple(variables.items())), _bad_request(error.violations)]
    return _assemble(reason, details, None)


@lru_cache(maxsize=ANSWERS_CACHED_MAX)
def _answer(
    reason: str, variables: tuple[tuple[str, str | int], ...], retry_after_seconds: float | None
) -> ErrorAnswer:
    return _assemble(reason, _details(reason, variables), retry_after_seconds)


def _details(reason: str, variables: tuple[tuple[str, str | int], ...]) -> list[Message]:
    """The ErrorInfo, and what the reason's code calls for beside it."""
    details: list[Message] = [_error_info(reason, variables)]
    meaning = MEANINGS[reason]
    subject = _subject(dict(variables))
    if meaning.code is Code.FAILED_PRECONDITION:
        details.append(_precondition_failure(reason, subject, meaning.sentence))
    elif meaning.code is Code.RESOURCE_EXHAUSTED:
        details.append(_quota_failure(subject, meaning.sentence))
    return details


def _assemble(
    reason: str, details: list[Message], retry_after_seconds: float | None
) -> ErrorAnswer:
    code, sentence = MEANINGS[reason]
    if retry_after_seconds is not None:
        details.append(_retry_info(retry_after_seconds))
    status = status_pb2.Status(code=code.value[0], message=sentence)
    for detail in details:
        status.details.add().Pack(detail)
    serialized = status.SerializeToString()
    trailers: tuple[tuple[str, str | bytes], ...] = ((DETAILS_TRAILER, serialized),)
    if retry_after_seconds is not None:
        trailers += ((PUSHBACK_TRAILER, str(round(retry_after_seconds * 1000))),)
    return ErrorAnswer(code, reason, sentence, serialized, trailers)


def _error_info(
    reason: str, variables: tuple[tuple[str, str | int], ...]
) -> error_details_pb2.ErrorInfo:
    metadata = {name: str(value) for name, value in variables}
    return error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata)


def _bad_request(violations: Sequence[errors.FieldViolation]) -> error_details_pb2.BadRequest:
    """As many as fit: ErrorInfo counts all, and a client would drop an answer too large."""
    bad_request = error_details_pb2.BadRequest()
    room = ERROR_DETAILS_BYTES_MAX
    for violation in violations:
        entry = error_details_pb2.BadRequest.FieldViolation(
            field=violation.path, description=violation.description
        )
        room -= entry.ByteSize()
        if room < 0:
            break
        bad_request.field_violations.append(entry)
    return bad_request


def _precondition_failure(
    reason: str, subject: str, sentence: str
) -> error_details_pb2.PreconditionFailure:
    failure = error_details_pb2.PreconditionFailure()
    failure.violations.add(type=reason, subject=subject, description=sentence)
    return failure


def _quota_failure(subject: str, sentence: str) -> error_details_pb2.QuotaFailure:
    failure = error_details_pb2.QuotaFailure()
    failure.violations.add(subject=subject, description=sentence)
    return failure


def _retry_info(seconds: float) -> error_details_pb2.RetryInfo:
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromMilliseconds(round(seconds * 1000))
    return info


def _subject(variables: Variables) -> str:
    return next((f"{name}:{variables[name]}" for name in SUBJECTS if name in variables), "request")


def _tell(error: errors.GuerdonError) -> tuple[str, Variables] | None:
    """The reason of an error of the planes, and its variables; None for a defect."""
    match error:
        case errors.Unauthenticated():
            return error.reason, {}
        case errors.NotFound(kind="tenant"):
            # The key of a tenant that is gone opens nothing.
            return "API_KEY_INVALID", {}
        case errors.NotFound():
            reason, variable = NOT_FOUND_REASONS[error.kind]
            return reason, {variable: error.name}
        case errors.CodeAlreadyUsed():
            return "CODE_ALREADY_USED", {"code": error.code}
        case errors.OfferAlreadyExists():
            return "OFFER_ALREADY_EXISTS", _of_offer(error.offer_id)
        case errors.EtagMismatch():
            return "ETAG_MISMATCH", _of_offer(error.offer_id)
        case errors.StatusTransitionIllegal():
            step = {"from": error.current, "to": error.wanted}
            return "STATUS_TRANSITION_ILLEGAL", _of_offer(error.offer_id) | step
        case errors.TransactionConflict():
            return "TRANSACTION_CONFLICT", _transactions(error.transaction_ids)
    plain = PLAIN_REASONS.get(type(error))
    return None if plain is None else (plain, {})


def _of_offer(offer_id: OfferId | None) -> dict[str, str | int]:
    return {} if offer_id is None else {"offer_id": str(offer_id)}


def _transactions(transaction_ids: Sequence[str]) -> Variables:
    """The first id, which is caller's own, and how many there are."""
    return {"transaction_id": transaction_ids[0], "transaction_count": len(transaction_ids)}
