"""The admin's offer to and from its written form, whose fields have the same names.

No unit and no rule is understood here: that is the domain's, on both ways.
"""

from typing import Any

import msgspec
from google.protobuf import struct_pb2
from google.protobuf.message import Message

from guerdon.api.admin.v1 import offer_pb2
from guerdon.domain.rules import WrittenRule
from guerdon.domain.written_offers import (
    WrittenBuyGet,
    WrittenOffer,
    WrittenProduct,
    WrittenTranslation,
)
from guerdon.transport.values import read_optional_time, write_optional_time

Json = None | bool | float | str | list["Json"] | dict[str, "Json"]

# What has a form of its own; every other field is the same value on both sides.
SHAPED_FIELDS = frozenset(
    {"translations", "products", "rules", "buy_x_get_y", "starts_at", "ends_at"}
)
PLAIN_FIELDS = frozenset(WrittenOffer.__struct_fields__) - SHAPED_FIELDS


def read_offer(message: offer_pb2.Offer) -> WrittenOffer:
    """What the admin wrote. Output-only fields are not read."""
    return WrittenOffer(
        **{name: value for name, value in _said(message).items() if name in PLAIN_FIELDS},
        translations=tuple(WrittenTranslation(**_said(said)) for said in message.translations),
        products=tuple(map(_read_product, message.products)),
        rules=tuple(map(_read_rule, message.rules)),
        buy_x_get_y=WrittenBuyGet(**_said(message.buy_x_get_y))
        if message.HasField("buy_x_get_y")
        else None,
        starts_at=read_optional_time(message, "starts_at"),
        ends_at=read_optional_time(message, "ends_at"),
    )


def find_set_fields(message: offer_pb2.Offer) -> tuple[str, ...]:
    """The written fields that hold anything: what an update without a mask changes.

    The status is not among them, so that an offer can be sent back as it was read.
    """
    said = _said(message)
    return tuple(
        name for name in WrittenOffer.__struct_fields__ if name in said and name != "status"
    )


def write_offer(written: WrittenOffer) -> offer_pb2.Offer:
    """The message without the output-only fields, which its caller adds."""
    buy_get = written.buy_x_get_y
    return offer_pb2.Offer(
        **{name: getattr(written, name) for name in PLAIN_FIELDS},
        translations=[offer_pb2.OfferTranslation(**_fields(said)) for said in written.translations],
        products=map(_write_product, written.products),
        rules=map(_write_rule, written.rules),
        buy_x_get_y=None if buy_get is None else offer_pb2.BuyXGetY(**_fields(buy_get)),
        starts_at=write_optional_time(written.starts_at),
        ends_at=write_optional_time(written.ends_at),
    )


def _read_product(message: offer_pb2.OfferProduct) -> WrittenProduct:
    said = _said(message)
    said.pop("usage_count", None)
    return WrittenProduct(**said)


def _write_product(written: WrittenProduct) -> offer_pb2.OfferProduct:
    fields = _fields(written)
    # Setting one member of the oneof unsets the others, so only the true target may be given.
    return offer_pb2.OfferProduct(**{name: value for name, value in fields.items() if value != ""})


def _read_rule(message: offer_pb2.OfferRule) -> WrittenRule:
    return WrittenRule(**(_said(message) | {"params": _read_struct(message.params)}))


def _write_rule(written: WrittenRule) -> offer_pb2.OfferRule:
    return offer_pb2.OfferRule(**_fields(written))


def _read_struct(message: struct_pb2.Struct) -> dict[str, Json]:
    """Plain values; the parser bounds how deep they nest, so the recursion has an end."""
    return {name: _read_value(value) for name, value in message.fields.items()}


def _read_value(message: struct_pb2.Value) -> Json:
    match message.WhichOneof("kind"):
        case "number_value":
            return message.number_value
        case "string_value":
            return message.string_value
        case "bool_value":
            return message.bool_value
        case "list_value":
            return [_read_value(value) for value in message.list_value.values]
        case "struct_value":
            return _read_struct(message.struct_value)
        case _:
            return None


def _said(message: Message) -> dict[str, Any]:
    """What the message holds, by name. What it does not hold has the same default in the domain."""
    return {
        descriptor.name: tuple(value) if descriptor.is_repeated else value
        for descriptor, value in message.ListFields()
    }


def _fields(written: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(written, name) for name in written.__struct_fields__}
