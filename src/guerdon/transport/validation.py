"""The constraints that the protos state, checked for a whole message at once."""

import protovalidate
from google.protobuf.message import Message

from guerdon.domain.errors import FieldViolation

# Its rules are compiled once for each message type, so one validator serves the process.
_validator = protovalidate.Validator()


def find_violations(message: Message) -> list[FieldViolation]:
    """Every broken constraint with its proto path, such as `offer.rules[0].rule_type`."""
    return [_violation(found) for found in _validator.collect_violations(message)]


def _violation(found: protovalidate.Violation) -> FieldViolation:
    # Absent where the rule is one of the whole message, which has no path.
    path = found.proto.field
    elements = [] if path is None else path.elements
    return FieldViolation(".".join(map(_element, elements)), found.proto.message)


def _element(element: protovalidate.FieldPathElementPb) -> str:
    subscript = element.subscript
    return element.field_name if subscript is None else f"{element.field_name}[{subscript.value}]"
