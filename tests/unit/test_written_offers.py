"""The written form speaks the admin proto's language, field by field."""

import msgspec
import pytest
from google.protobuf.message import Message

from guerdon.api.admin.v1 import offer_pb2
from guerdon.domain.rules import WrittenRule
from guerdon.domain.written_offers import (
    WrittenBuyGet,
    WrittenOffer,
    WrittenProduct,
    WrittenTranslation,
)

GIVEN_BY_THE_SYSTEM = {
    "offer_id",
    "version",
    "etag",
    "usage_count",
    "created_by",
    "created_at",
    "updated_at",
}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (WrittenOffer, offer_pb2.Offer),
        (WrittenProduct, offer_pb2.OfferProduct),
        (WrittenTranslation, offer_pb2.OfferTranslation),
        (WrittenRule, offer_pb2.OfferRule),
        (WrittenBuyGet, offer_pb2.BuyXGetY),
    ],
)
def test_the_fields_are_those_of_the_message(
    written: type[msgspec.Struct], message: type[Message]
) -> None:
    said = set(message.DESCRIPTOR.fields_by_name)
    assert set(written.__struct_fields__) == said - GIVEN_BY_THE_SYSTEM
