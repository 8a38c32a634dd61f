"""Every field of every request with every kind of bad value: the code, the reason, the path."""

import grpc
import pytest

from guerdon.api.admin.v1 import fact_pb2, fact_service_pb2
from guerdon.api.offers.v1 import offer_service_pb2
from tests.grpc.bad_values import bad_cases, rules_of, text_fields
from tests.grpc.gate import METHODS, UNARY, Failure, Gate
from tests.grpc.requests import FACTS, OFFERS, REDEEM, good_requests, redeem_request

GOOD = good_requests()


def test_a_good_request_of_every_method_is_tried() -> None:
    assert set(GOOD) == set(METHODS)


@pytest.mark.parametrize("path", UNARY)
async def test_a_good_request_passes(gate: Gate, path: str) -> None:
    answer = await gate.send(path, GOOD[path])
    assert not isinstance(answer, Failure), answer
    assert gate.servicers.passed == [GOOD[path]]


@pytest.mark.parametrize("path", UNARY)
async def test_a_bad_value_is_refused_with_its_path(gate: Gate, path: str) -> None:
    tried = 0
    for case in bad_cases(GOOD[path]):
        failure = await gate.fail(path, case.message)
        seen = (failure.code, failure.reason, set(failure.fields))
        expected = (grpc.StatusCode.INVALID_ARGUMENT, "FIELDS_INVALID", {case.path})
        assert seen == expected, f"{case.path} = {case.value}"
        tried += 1
    assert tried >= 2


@pytest.mark.parametrize("path", sorted(METHODS))
def test_no_text_of_a_request_is_without_bounds(path: str) -> None:
    for field in text_fields(METHODS[path].input_type):
        rules = rules_of(field)
        rules = rules.repeated.items.string if field.is_repeated else rules.string
        bounded = rules.uuid or rules.max_len or getattr(rules, "in") or "{" in rules.pattern
        assert bounded, field.full_name


@pytest.mark.parametrize("path", sorted(METHODS))
def test_no_list_of_a_request_is_without_bounds(path: str) -> None:
    for field in METHODS[path].input_type.fields:
        if field.is_repeated:
            assert rules_of(field).repeated.max_items, field.full_name


async def test_all_violations_come_at_once(gate: Gate) -> None:
    bad = offer_service_pb2.RedeemRequest(
        request_id="x", currency="usd", order_ref="a\x00b", expected_paid_minor=-1
    )
    bad.MergeFromString(b"\x40\x09")  # service_type = 9, which the stub does not let through.
    failure = await gate.fail(REDEEM, bad)
    assert sorted(failure.fields) == [
        "currency",
        "customer_id",
        "expected_paid_minor",
        "line",
        "offer",
        "order_ref",
        "request_id",
        "service_type",
    ]
    assert failure.info.metadata["violation_count"] == "8"


async def test_more_violations_than_a_client_takes_are_counted(gate: Gate) -> None:
    transactions = [fact_pb2.Transaction()] * 1000
    message = fact_service_pb2.PushTransactionsRequest(transactions=transactions)
    failure = await gate.fail(FACTS + "PushTransactions", message)
    assert failure.info.metadata["violation_count"] == "6000"
    assert 20 < len(failure.fields) < 200
    assert failure.fields[0] == "transactions[0].transaction_id"


async def test_items_of_a_batch_are_left_to_the_servicer(gate: Gate) -> None:
    batch = offer_service_pb2.RedeemBatchRequest(
        requests=[redeem_request(), offer_service_pb2.RedeemRequest()]
    )
    answer = await gate.send(OFFERS + "RedeemBatch", batch)
    assert not isinstance(answer, Failure)
