"""The one mapping from errors to answers: complete, in order, and small enough for every client."""

import inspect
import re
from pathlib import Path
from uuid import UUID

import grpc
import pytest
from google.rpc import (  # type: ignore[import-untyped]  # The package ships no types.
    error_details_pb2,
    status_pb2,
)

from guerdon.api.offers.v1 import error_reason_pb2
from guerdon.domain import errors
from guerdon.domain.errors import FieldViolation
from guerdon.domain.identifiers import OfferId
from guerdon.domain.refusals import Refusal, RefusalReason, Refused
from guerdon.transport.errors import (
    MEANINGS,
    ErrorAnswer,
    answer,
    answer_error,
)
from tests.support.error_page import KEYS, fits

ERRORS_PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
PREFIX = "ERROR_REASON_"
OFFER_ID = OfferId(UUID(int=2))
IN_PROTO = [
    value.name.removeprefix(PREFIX)
    for value in sorted(
        error_reason_pb2.ErrorReason.DESCRIPTOR.values, key=lambda value: value.number
    )
    if value.number != 0
]
ERRORS: dict[type[errors.GuerdonError], errors.GuerdonError] = {
    type(error): error
    for error in (
        errors.FieldsInvalid([FieldViolation("line", "is required")]),
        errors.OfferInvalid([FieldViolation("offer.title", "is required")], OFFER_ID),
        errors.NotFound("offer", OFFER_ID),
        errors.CodeAlreadyUsed("SAVE50"),
        errors.OfferAlreadyExists(OFFER_ID),
        errors.EtagMismatch(OFFER_ID),
        errors.StatusTransitionIllegal("cancelled", "active", OFFER_ID),
        errors.TransactionConflict(["T-1", "T-2"]),
        errors.PageTokenInvalid(),
        errors.Unauthenticated("API_KEY_EXPIRED"),
        errors.Overloaded(),
        errors.DependencyUnavailable(),
        errors.OutcomeUnknown(),
        errors.DeadlinePassed(),
        errors.Conflict(),
        errors.Defect("secret detail"),
    )
}


def wait() -> float:
    return 0.25


def status_of(serialized: bytes) -> status_pb2.Status:
    return status_pb2.Status.FromString(serialized)


def metadata_of(made: ErrorAnswer) -> dict[str, str]:
    info = error_details_pb2.ErrorInfo()
    status_of(made.status).details[0].Unpack(info)
    assert info.reason == made.reason
    return dict(info.metadata)


def detail_names(status: status_pb2.Status) -> list[str]:
    return [detail.type_url.rsplit(".", 1)[-1] for detail in status.details]


def test_every_reason_of_the_proto_has_a_meaning_in_the_same_order() -> None:
    assert list(MEANINGS) == IN_PROTO


def test_refusals_stand_in_the_order_of_the_reasons() -> None:
    refusals = [reason.name for reason in RefusalReason]
    assert refusals == [name for name in IN_PROTO if name in refusals]


def test_the_documentation_lists_every_reason_with_its_code_in_the_same_order() -> None:
    rows = re.findall(r"^\| ([A-Z_]+) \| ([A-Z_]+) \|", ERRORS_PAGE.read_text(), re.MULTILINE)
    documented = [(reason, code) for reason, code in rows if reason in MEANINGS]
    assert documented == [(reason, meaning.code.name) for reason, meaning in MEANINGS.items()]


@pytest.mark.parametrize("reason", IN_PROTO)
def test_every_answer_has_exactly_one_error_info_and_what_its_code_calls_for(reason: str) -> None:
    made = answer(reason, {"offer_id": "o", "used": 3}, wait)
    status = status_of(made.status)
    names = detail_names(status)
    assert names.count("ErrorInfo") == 1
    assert ("PreconditionFailure" in names) == (made.code is grpc.StatusCode.FAILED_PRECONDITION)
    assert ("QuotaFailure" in names) == (made.code is grpc.StatusCode.RESOURCE_EXHAUSTED)
    retryable = made.code is grpc.StatusCode.UNAVAILABLE or reason == "CONFLICT"
    assert ("RetryInfo" in names) == retryable
    assert ("grpc-retry-pushback-ms" in dict(made.trailers)) == retryable
    assert status.code == made.code.value[0]


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.GuerdonError) and kind is not errors.GuerdonError
    ],
)
def test_every_error_of_the_domain_has_an_answer_of_its_own(
    kind: type[errors.GuerdonError],
) -> None:
    made = answer_error(ERRORS[kind], "id", wait)
    assert (made.code is grpc.StatusCode.INTERNAL) == (kind is errors.Defect)
    assert set(metadata_of(made)) == KEYS[made.reason].all


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (errors.OfferInvalid([], None), {"violation_count": "0"}),
        (
            errors.StatusTransitionIllegal("draft", "expired", None),
            {"from": "draft", "to": "expired"},
        ),
        (errors.NotFound("redemption", OFFER_ID), {"request_id": str(OFFER_ID)}),
        (errors.NotFound("api_key", "8f14e45fceea167a"), {"api_key_id": "8f14e45fceea167a"}),
        (errors.NotFound("tenant", OFFER_ID), {}),
    ],
    ids=["no offer yet", "no draft yet", "redemption", "api key", "tenant"],
)
def test_what_is_told_is_what_there_is(error: errors.GuerdonError, told: dict[str, str]) -> None:
    made = answer_error(error, "id", wait)
    assert metadata_of(made) == told
    assert fits(made.reason, set(told))


def test_an_offer_that_is_not_valid_is_named_as_what_failed() -> None:
    made = answer_error(ERRORS[errors.OfferInvalid], "id", wait)
    status = status_of(made.status)
    assert detail_names(status) == ["ErrorInfo", "PreconditionFailure", "BadRequest"]
    failure = error_details_pb2.PreconditionFailure()
    status.details[1].Unpack(failure)
    assert failure.violations[0].subject == f"offer_id:{OFFER_ID}"


@pytest.mark.parametrize("reason", RefusalReason)
def test_every_refusal_is_told_with_its_variables_as_text(reason: RefusalReason) -> None:
    made = answer_error(Refused(Refusal(reason, {"used": 1000, "limit": 1000})), "id", wait)
    assert (made.reason, metadata_of(made)) == (reason.name, {"used": "1000", "limit": "1000"})


@pytest.mark.parametrize("error", [ValueError("select * from"), errors.Defect("select * from")])
def test_what_nobody_expected_tells_its_id_and_nothing_else(error: Exception) -> None:
    made = answer_error(error, "4f2a", wait)
    assert made.code is grpc.StatusCode.INTERNAL
    assert b"select" not in made.status
    assert b"4f2a" in made.status


def test_a_shed_call_is_told_how_long_to_wait() -> None:
    made = answer_error(errors.Overloaded(), "id", wait)
    info = error_details_pb2.RetryInfo()
    status_of(made.status).details[-1].Unpack(info)
    assert info.retry_delay.ToMilliseconds() == 250
    assert dict(made.trailers)["grpc-retry-pushback-ms"] == "250"


def test_equal_refusals_share_one_answer_and_different_ones_do_not() -> None:
    one, same = (answer("TOTAL_LIMIT_REACHED", {"offer_id": "a"}, wait) for _ in range(2))
    other = answer("TOTAL_LIMIT_REACHED", {"offer_id": "b"}, wait)
    assert one is same
    assert b"offer_id:b" in other.status
    assert b"offer_id:b" not in one.status
