"""docs/errors.md tells every reason, in the order of the checks, with the code that is sent."""

import json
import re

import pytest

from guerdon.api.offers.v1 import error_reason_pb2
from guerdon.domain.refusals import RefusalReason
from guerdon.transport.errors import MEANINGS
from tests.docs.pages import DOCS, ROOT, rows
from tests.support.error_page import KEYS

PREFIX = "ERROR_REASON_"
PAGE = DOCS / "errors.md"
PROTO = ROOT / "proto" / "guerdon" / "api" / "offers" / "v1" / "error_reason.proto"
TOLD = [cells for cells in rows(PAGE.read_text()) if cells[0] in MEANINGS]


def test_every_reason_of_the_proto_is_told_in_its_order() -> None:
    values = error_reason_pb2.ErrorReason.DESCRIPTOR.values
    in_order = sorted((value.number, value.name) for value in values if value.number)
    assert [cells[0] for cells in TOLD] == [name.removeprefix(PREFIX) for _, name in in_order]


def test_refusals_are_told_in_their_order_of_precedence() -> None:
    refusals = [reason.name for reason in RefusalReason]
    assert [cells[0] for cells in TOLD if cells[0] in refusals] == refusals


def test_every_reason_is_told_with_the_code_that_is_sent() -> None:
    told = {cells[0]: cells[1] for cells in TOLD}
    assert told == {reason: meaning.code.name for reason, meaning in MEANINGS.items()}


def test_every_reason_says_what_it_means() -> None:
    assert [cells[0] for cells in TOLD if len(cells) != 5 or not cells[2]] == []


def test_nothing_is_told_that_is_no_reason() -> None:
    codes = {meaning.code.name for meaning in MEANINGS.values()}
    unknown = [cells for cells in rows(PAGE.read_text()) if len(cells) == 5 and cells not in TOLD]
    assert [cells for cells in unknown if cells[1] in codes] == []


def comments() -> dict[str, str]:
    """Of each reason the proto's comment, as one line."""
    blocks = re.findall(rf"((?:  //.*\n)+)  {PREFIX}(\w+) = [1-9]", PROTO.read_text())
    return {name: re.sub(r"\s*//\s*", " ", comment) for comment, name in blocks}


@pytest.mark.parametrize(("reason", "comment"), comments().items())
def test_the_protos_example_has_the_keys_that_the_page_tells(reason: str, comment: str) -> None:
    example = re.search(r"Example: (\{.*?\})(?:; (.*))?\.\s*$", comment)
    assert example is not None
    values = json.loads(example[1])
    assert set(values) == KEYS[reason].all
    assert {type(value) for value in values.values()} <= {str}
    assert bool(example[2]) == bool(KEYS[reason].sometimes), "say when a key is not told"


def test_every_reason_of_the_proto_has_a_comment_with_an_example() -> None:
    assert set(comments()) == set(KEYS) == set(MEANINGS)
