"""The constraints that the protos state, checked for a whole message at once."""

from collections.abc import Iterator
from functools import cache

import protovalidate
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from guerdon.domain.errors import FieldViolation

# Its rules are compiled once for each message type, so one validator serves the process.
_validator = protovalidate.Validator()

NANOSECONDS_A_SECOND = 1_000_000_000
NOT_A_TIME = "nanos must be greater than or equal to 0 and less than 1000000000"


def find_violations(message: Message) -> list[FieldViolation]:
    """Every broken constraint with its proto path, such as `offer.rules[0].rule_type`."""
    violations = [_violation(found) for found in _validator.collect_violations(message)]
    if _paths_to_times(message.DESCRIPTOR):
        violations += _find_broken_times(message, "")
    return violations


def _violation(found: protovalidate.Violation) -> FieldViolation:
    # Absent where the rule is one of the whole message, which has no path.
    path = found.proto.field
    elements = [] if path is None else path.elements
    return FieldViolation(".".join(map(_element, elements)), found.proto.message)


def _element(element: protovalidate.FieldPathElementPb) -> str:
    subscript = element.subscript
    return element.field_name if subscript is None else f"{element.field_name}[{subscript.value}]"


def _find_broken_times(message: Message, path: str) -> Iterator[FieldViolation]:
    """Timestamps that are none: the rules compare moments and let odd nanoseconds pass."""
    for field in _paths_to_times(message.DESCRIPTOR):
        for value, at in _values(message, field, path):
            if isinstance(value, Timestamp):
                if not 0 <= value.nanos < NANOSECONDS_A_SECOND:
                    yield FieldViolation(at, NOT_A_TIME)
            else:
                yield from _find_broken_times(value, f"{at}.")


def _values(message: Message, field: FieldDescriptor, path: str) -> Iterator[tuple[Message, str]]:
    value = getattr(message, field.name)
    if field.is_repeated:
        for index, item in enumerate(value):
            yield item, f"{path}{field.name}[{index}]"
    elif message.HasField(field.name):
        yield value, f"{path}{field.name}"


@cache
def _paths_to_times(descriptor: Descriptor) -> tuple[FieldDescriptor, ...]:
    """The fields that are timestamps or lead to one. None of our requests contains itself."""
    return tuple(
        field
        for field in descriptor.fields
        if field.message_type is not None
        and (field.message_type is Timestamp.DESCRIPTOR or _leads_to_time(field.message_type))
    )


def _leads_to_time(descriptor: Descriptor) -> bool:
    # Struct contains itself, and the others of this package hold no times either.
    return descriptor.file.package != "google.protobuf" and bool(_paths_to_times(descriptor))
