"""What makes two requests of one id the same."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from guerdon.domain.identifiers import CustomerId, OfferId, ProductId, RequestId, TenantId
from guerdon.domain.offers import OfferReference, ServiceType
from guerdon.domain.redemption import Line, RedeemCommand

PLAIN = RedeemCommand(
    tenant_id=TenantId(UUID(int=1)),
    request_id=RequestId(UUID(int=2)),
    offer=OfferReference(offer_id=OfferId(UUID(int=3))),
    customer_id=CustomerId(UUID(int=4)),
    line=Line(None, 1, 1000),
    currency="NGN",
)
# Kept in rows for ever: a retry after an upgrade must still find its own.
PLAIN_HASH = "8ed727551f19d791d12d6816dd7369496c30acb21e09251c52fce66372313270"


def changed(**changes: Any) -> RedeemCommand:
    return msgspec.structs.replace(PLAIN, **changes)


def test_the_hash_of_a_request_never_changes() -> None:
    assert PLAIN.body_hash().hex() == PLAIN_HASH


@pytest.mark.parametrize(
    "change",
    [
        {"offer": OfferReference(offer_id=OfferId(UUID(int=9)))},
        {"offer": OfferReference(code="save10")},
        {"customer_id": CustomerId(UUID(int=9))},
        {"line": Line(ProductId(UUID(int=9)), 1, 1000)},
        {"line": Line(None, 2, 1000)},
        {"line": Line(None, 1, 2000)},
        {"currency": "USD"},
        {"order_ref": "A-1"},
        {"service_type": ServiceType.PICKUP},
        {"expected_paid_minor": 0},
    ],
    ids=lambda change: "-".join(change),
)
def test_every_business_field_counts(change: dict[str, Any]) -> None:
    assert changed(**change).body_hash() != PLAIN.body_hash()


def test_the_request_id_and_the_tenant_do_not() -> None:
    other = changed(request_id=RequestId(UUID(int=8)), tenant_id=TenantId(UUID(int=9)))
    assert other.body_hash() == PLAIN.body_hash()


def test_one_value_in_another_field_is_another_request() -> None:
    order, code = changed(order_ref="x"), changed(offer=OfferReference(code="x"))
    assert order.body_hash() != code.body_hash()
