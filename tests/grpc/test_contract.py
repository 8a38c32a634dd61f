"""What the protos promise about themselves."""

import re
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2
from protovalidate._gen.buf.validate import validate_pb

from guerdon.api.annotations.v1 import annotations_pb2
from guerdon.api.buf.validate import validate_pb2
from guerdon.domain.api_keys import Scope
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


def test_our_copy_of_the_rules_is_what_the_validator_enforces() -> None:
    theirs, ours = descriptor_pb2.FileDescriptorProto(), descriptor_pb2.FileDescriptorProto()
    theirs.ParseFromString(validate_pb.desc().proto.to_binary())
    validate_pb2.DESCRIPTOR.CopyToProto(ours)
    assert enforced(ours) == enforced(theirs)


def enforced(file: descriptor_pb2.FileDescriptorProto) -> list[str]:
    """The file without its names for other languages and for JSON, which enforce nothing."""
    file.ClearField("options")
    return [line for line in str(file).splitlines() if "json_name" not in line]
