"""docs/errors.md tells every reason, in the order of the checks, with the code that is sent."""

from guerdon.api.offers.v1 import error_reason_pb2
from guerdon.domain.refusals import RefusalReason
from guerdon.transport.errors import MEANINGS
from tests.docs.pages import DOCS, rows

PREFIX = "ERROR_REASON_"
PAGE = DOCS / "errors.md"
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
