"""FactService as the systems that push see it."""

from typing import Any

import grpc
import pytest

from guerdon.api.admin.v1 import fact_service_pb2
from tests.grpc.gate import read_failure
from tests.grpc.house import PATHS, House, Tenant
from tests.grpc.requests import good_transaction
from tests.support.ledger import new_id

Code = grpc.StatusCode
ID = "64d1f75e-00e4-4d9c-af27-fef057501400"


def transaction(**fields: Any) -> dict[str, Any]:
    return {
        "transaction_id": "T-1",
        "customer_id": ID,
        "kind": "TRANSACTION_KIND_TOPUP",
        "status": "TRANSACTION_STATUS_SUCCEEDED",
        "amount_minor": 5_000,
        "currency": "NGN",
        "occurred_time": "2026-11-01T12:00:00Z",
        **fields,
    }


PUSHES: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("PushCustomers", "customers", {"customer_id": ID, "roles": ["vip"]}, {"roles": []}),
    (
        "PushProducts",
        "products",
        {"product_id": ID, "kind": "PRODUCT_KIND_RETAIL", "unit_quantity": 0.5},
        {"stock_quantity": 3},
    ),
    ("PushOperators", "operators", {"operator_id": ID, "name": "MTN"}, {"name": "MTN Nigeria"}),
    (
        "PushSuppliers",
        "suppliers",
        {
            "supplier_id": ID,
            "name": "Acme",
            "supplier_products": [{"supplier_product_id": ID, "product_id": ID}],
        },
        {"name": "Acme Ltd"},
    ),
    (
        "PushTransactions",
        "transactions",
        transaction(),
        {"status": "TRANSACTION_STATUS_REVERSED"},
    ),
]


def counts_of(answer: Any) -> tuple[int, int, int]:
    counts = answer.counts
    return counts.inserted_count, counts.updated_count, counts.unchanged_count


@pytest.mark.parametrize(("method", "field", "item", "change"), PUSHES)
async def test_a_push_tells_what_it_changed_and_is_idempotent(
    house: House,
    tenant: Tenant,
    method: str,
    field: str,
    item: dict[str, Any],
    change: dict[str, Any],
) -> None:
    push: dict[str, Any] = {field: [item]}
    assert counts_of(await tenant.call(method, **push)) == (1, 0, 0)
    before = await house.content()
    assert counts_of(await tenant.call(method, **push)) == (0, 0, 1)
    assert await house.content() == before
    push = {field: [{**item, **change}]}
    assert counts_of(await tenant.call(method, **push)) == (0, 1, 0)


async def test_a_day_of_activity_is_counted_once(tenant: Tenant) -> None:
    days = [{"customer_id": ID, "day": "2026-11-01"}, {"customer_id": ID, "day": "2026-11-02"}]
    assert counts_of(await tenant.call("PushActivity", activities=days)) == (2, 0, 0)
    assert counts_of(await tenant.call("PushActivity", activities=days)) == (0, 0, 2)


@pytest.mark.parametrize(
    "day", ["2026-02-30", "2026-13-01", "2026-11-00", "0000-01-01", "2999-01-01"]
)
async def test_a_day_that_no_calendar_has_is_refused(tenant: Tenant, day: str) -> None:
    days = [{"customer_id": ID, "day": "2026-11-01"}, {"customer_id": ID, "day": day}]
    failure = await tenant.fail("PushActivity", activities=days)
    assert (failure.reason, failure.fields) == ("FIELDS_INVALID", ["activities[1].day"])


BAD_PUSHES: list[tuple[str, dict[str, Any], str]] = [
    (
        "PushTransactions",
        {"transactions": [transaction(currency="ZZZ")]},
        "transactions[0].currency",
    ),
    (
        "PushTransactions",
        {"transactions": [transaction(), transaction(occurred_time="2999-01-01T00:00:00Z")]},
        "transactions[1].occurred_time",
    ),
    (
        "PushCustomers",
        {"customers": [{"customer_id": ID, "roles": [" "]}]},
        "customers[0].roles[0]",
    ),
    (
        "PushProducts",
        {"products": [{"product_id": ID, "kind": "PRODUCT_KIND_RETAIL", "currency": "ZZZ"}]},
        "products[0].currency",
    ),
]


@pytest.mark.parametrize(("method", "fields", "path"), BAD_PUSHES)
async def test_a_push_with_one_wrong_item_changes_nothing(
    house: House, tenant: Tenant, method: str, fields: dict[str, Any], path: str
) -> None:
    before = await house.content()
    failure = await tenant.fail(method, **fields)
    assert (failure.code, failure.reason) == (Code.INVALID_ARGUMENT, "FIELDS_INVALID")
    assert failure.fields == [path]
    assert await house.content() == before


async def test_another_content_for_a_transaction_is_a_conflict(
    house: House, tenant: Tenant
) -> None:
    await tenant.call("PushTransactions", transactions=[transaction()])
    before = await house.content()
    other = [transaction(transaction_id="T-2"), transaction(amount_minor=6_000)]
    failure = await tenant.fail("PushTransactions", transactions=other)
    assert (failure.code, failure.reason) == (Code.ALREADY_EXISTS, "TRANSACTION_CONFLICT")
    assert failure.info.metadata["transaction_id"] == "T-1"
    assert await house.content() == before


def chunk(number: int, size: int = 3) -> bytes:
    message = fact_service_pb2.StreamTransactionsRequest(chunk_number=number)
    for index in range(size):
        item = good_transaction()
        item.transaction_id = f"T-{number}-{index}"
        item.customer_id = str(new_id())
        message.transactions.append(item)
    return message.SerializeToString()


async def test_a_stream_is_answered_chunk_by_chunk_and_goes_on_after_a_break(
    tenant: Tenant,
) -> None:
    chunks = [chunk(number) for number in (1, 2, 3)]
    stream: Any = tenant.channel.stream_stream(PATHS["StreamTransactions"])
    call = stream(metadata=(("x-api-key", tenant.key),), timeout=10)
    for raw in chunks[:2]:
        await call.write(raw)
        answer = fact_service_pb2.StreamTransactionsResponse.FromString(await call.read())
        assert counts_of(answer) == (3, 0, 0)
    call.cancel()
    call = stream(metadata=(("x-api-key", tenant.key),), timeout=10)
    answers = []
    for raw in chunks:
        await call.write(raw)
    await call.done_writing()
    for _ in chunks:
        answers.append(fact_service_pb2.StreamTransactionsResponse.FromString(await call.read()))
    assert [counts_of(answer) for answer in answers] == [(0, 0, 3), (0, 0, 3), (3, 0, 0)]
    assert [answer.chunk_number for answer in answers] == [1, 2, 3]
    assert await call.read() is grpc.aio.EOF


async def test_a_gap_in_the_chunks_ends_the_stream(tenant: Tenant) -> None:
    stream: Any = tenant.channel.stream_stream(PATHS["StreamTransactions"])
    call = stream(metadata=(("x-api-key", tenant.key),), timeout=10)
    await call.write(chunk(1))
    await call.read()
    await call.write(chunk(3))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.read()
    failure = read_failure(caught.value)
    assert (failure.reason, failure.fields) == ("FIELDS_INVALID", ["chunk_number"])
