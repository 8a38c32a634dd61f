"""What the protos promise about themselves."""

import re
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2
from protovalidate._gen.buf.validate import validate_pb

from guerdon import limits
from guerdon.api.admin.v1 import fact_service_pb2, offer_pb2
from guerdon.api.annotations.v1 import annotations_pb2
from guerdon.api.buf.validate import validate_pb2
from guerdon.api.offers.v1 import offer_service_pb2, pricing_pb2
from guerdon.domain.api_keys import Scope
from tests.grpc.bad_values import rules_of
from tests.grpc.gate import METHODS, SCOPES

PROTO = Path(__file__).parents[2] / "proto"


def scope_of(path: str) -> str:
    return str(METHODS[path].GetOptions().Extensions[annotations_pb2.required_scope])


@pytest.mark.parametrize("path", sorted(METHODS))
def test_every_method_names_a_scope_that_keys_can_have(path: str) -> None:
    assert scope_of(path) in set(Scope)


def test_the_scopes_of_keys_are_those_that_methods_ask_for() -> None:
    assert {scope_of(path) for path in METHODS} == set(Scope) == SCOPES


def test_a_method_that_changes_nothing_needs_no_right_to_change() -> None:
    reading = {"offers.read", "offers.admin.read", "keys.manage"}
    without_effects = descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
    for path, method in METHODS.items():
        options: Any = method.GetOptions()
        if options.idempotency_level == without_effects:
            assert scope_of(path) in reading, path


def test_every_error_reason_says_its_code_and_gives_an_example() -> None:
    text = (PROTO / "guerdon/api/offers/v1/error_reason.proto").read_text()
    blocks = re.findall(r"((?:  //.*\n)+)  ERROR_REASON_(\w+) = \d+;", text)
    assert len(blocks) > 40
    for comment, name in blocks:
        if name != "UNSPECIFIED":
            assert re.match(r"  // [A-Z_]+( with a retry hint)?\. ", comment), name
            assert "Example: {" in comment, name


@pytest.mark.parametrize(
    ("message", "field", "rule", "bound"),
    [
        (pricing_pb2.Line, "quantity", "int32.lte", limits.QUANTITY_PIECES_MAX),
        (pricing_pb2.Line, "unit_price_minor", "int64.lte", limits.UNIT_PRICE_MINOR_MAX),
        (
            offer_service_pb2.RedeemBatchRequest,
            "requests",
            "repeated.max_items",
            limits.REDEEM_BATCH_ITEMS_MAX,
        ),
        (
            offer_service_pb2.ListRedemptionsRequest,
            "page_size",
            "int32.lte",
            limits.PAGE_ROWS_MAX,
        ),
        (
            fact_service_pb2.PushTransactionsRequest,
            "transactions",
            "repeated.max_items",
            limits.FACTS_ITEMS_MAX,
        ),
        (offer_pb2.Offer, "products", "repeated.max_items", limits.OFFER_TARGETS_MAX),
        (
            offer_pb2.Offer,
            "allowed_customer_ids",
            "repeated.max_items",
            limits.OFFER_ALLOWED_CUSTOMERS_MAX,
        ),
        (offer_pb2.Offer, "allowed_roles", "repeated.max_items", limits.OFFER_ALLOWED_ROLES_MAX),
        (offer_pb2.Offer, "rules", "repeated.max_items", limits.OFFER_RULES_MAX),
    ],
)
def test_bounds_are_the_same_in_protos_and_limits(
    message: Any, field: str, rule: str, bound: int
) -> None:
    rules = rules_of(message.DESCRIPTOR.fields_by_name[field])
    for name in rule.split("."):
        rules = getattr(rules, name)
    assert rules == bound


def test_our_copy_of_the_rules_is_what_the_validator_enforces() -> None:
    theirs, ours = descriptor_pb2.FileDescriptorProto(), descriptor_pb2.FileDescriptorProto()
    theirs.ParseFromString(validate_pb.desc().proto.to_binary())
    validate_pb2.DESCRIPTOR.CopyToProto(ours)
    assert enforced(ours) == enforced(theirs)


def enforced(file: descriptor_pb2.FileDescriptorProto) -> list[str]:
    """The file without its names for other languages and for JSON, which enforce nothing."""
    file.ClearField("options")
    return [line for line in str(file).splitlines() if "json_name" not in line]
