"""Bad values of every field, made from the constraints that the protos state.

A constraint that is not understood here raises, so that a new kind of it cannot go untested.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from guerdon.api.buf.validate import validate_pb2 as untyped_rules
from tests.grpc.requests import ID

# The stub of this generated module would be 4,000 lines that nothing else reads.
validate_pb2: Any = untyped_rules

INT_RANGES = {
    FieldDescriptor.TYPE_INT32: ("int32", -(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: ("int64", -(2**63), 2**63 - 1),
}
BAD_IDS = [
    "not-a-uuid",
    ID[:-1],
    f"{{{ID}}}",
    f" {ID}",
    f"{ID}\u200b",
    ID.replace("-", ""),
    "\uff10\uff11" + ID[2:],
    "'; drop table guerdon.offers; --",
    "x" * 100_000,
]
# What the patterns of our protos refuse, by pattern.
BAD_TEXTS = {
    r"^[A-Z]{3}$": ["usd", "Ngn", "US", "NGNX", "N N", "NGN\n", "\uff2e\uff27\uff2e", "NG\u0405"],
    r"^\P{Cc}*$": ["a\x00b", "a\nb", "\x7f"],
    r"^[^\p{Cc}\p{Cf}]*$": ["a\x00b", "a\nb", "a\u200bb", "\u202eabc"],
    r"^[^\x00]*$": ["a\x00b"],
    r"^[A-Za-z0-9_=-]*$": ["a b", "é", "a/b", "a'"],
    r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$": ["e", "en_US", "english-", "12", " en", "en\n"],
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$": [
        "",
        "2026-1-1",
        "20261121",
        "2026-11-21T00:00:00Z",
        "yesterday",
    ],
    r"^[0-9a-f]{16}$": ["", "8f14", "8F14E45FCEEA167A", "8f14e45fceea167g", ID],
}


class Case(NamedTuple):
    """A request that is wrong in one field, and that field's path."""

    path: str
    value: str
    message: Message


Spoil = Callable[[Message], None]


def bad_cases(good: Message) -> Iterator[Case]:
    """Every bad value in every field of a good message, one at a time."""
    for path, value, spoil in _spoils(good):
        bad = type(good)()
        bad.CopyFrom(good)
        spoil(bad)
        yield Case(path, repr(value)[:40], bad)


def text_fields(descriptor: Descriptor) -> Iterator[FieldDescriptor]:
    """The text fields of a request, at any depth."""
    for field in descriptor.fields:
        if field.type == FieldDescriptor.TYPE_STRING:
            yield field
        elif field.message_type is not None and _is_ours(field.message_type):
            yield from text_fields(field.message_type)


def rules_of(field: FieldDescriptor) -> Any:
    """The field's buf.validate rules."""
    return field.GetOptions().Extensions[validate_pb2.field]


def _spoils(good: Message) -> Iterator[tuple[str, object, Spoil]]:
    """(path, bad value, what to do to a message of this type), recursively."""
    descriptor: Any = good.DESCRIPTOR  # Its stub is a union of two classes with one interface.
    for oneof in descriptor.oneofs:
        if oneof.GetOptions().Extensions[validate_pb2.oneof].required:
            yield oneof.name, "unset", _clear(good.WhichOneof(oneof.name) or "")
    for field in descriptor.fields:
        if rules_of(field).repeated.items.ignore == validate_pb2.IGNORE_ALWAYS:
            yield from _bad_counts(field)
        elif field.is_repeated:
            yield from _bad_counts(field)
            yield from _bad_items(field, good)
        elif field.message_type is not None:
            yield from _bad_messages(field, good)
        else:
            for value in _bad_scalars(field, rules_of(field)):
                yield field.name, value, _assign(field.name, value)


def _bad_counts(field: FieldDescriptor) -> Iterator[tuple[str, object, Spoil]]:
    repeated = rules_of(field).repeated
    if repeated.min_items:
        yield field.name, "no items", _clear(field.name)
    if repeated.max_items:
        yield field.name, "too many", _repeat(field.name, repeated.max_items + 1)
    if repeated.unique:
        yield field.name, "twice", _repeat(field.name, 2)


def _bad_items(field: FieldDescriptor, good: Message) -> Iterator[tuple[str, object, Spoil]]:
    items = getattr(good, field.name)
    path = f"{field.name}[0]"
    if field.message_type is None:
        for value in _bad_scalars(field, rules_of(field).repeated.items):
            yield path, value, _assign_item(field.name, value)
    elif _is_ours(field.message_type):
        for inner, value, spoil in _spoils(items[0]):
            yield f"{path}.{inner}", value, _descend(field.name, spoil, item=True)


def _bad_messages(field: FieldDescriptor, good: Message) -> Iterator[tuple[str, object, Spoil]]:
    rules = rules_of(field)
    if rules.required:
        yield field.name, "absent", _clear(field.name)
    child = getattr(good, field.name)
    if isinstance(child, Timestamp):
        # Without rules the field is output only, and never read.
        for seconds, nanos in _bad_times(rules.timestamp) if rules.timestamp.ListFields() else ():
            yield field.name, (seconds, nanos), _assign_time(field.name, seconds, nanos)
    elif _is_ours(child.DESCRIPTOR):
        for inner, value, spoil in _spoils(child):
            yield f"{field.name}.{inner}", value, _descend(field.name, spoil, item=False)


def _bad_scalars(field: FieldDescriptor, rules: Any) -> Iterator[object]:
    optional = rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE
    if field.type == FieldDescriptor.TYPE_STRING:
        yield from (text for text in _bad_texts(rules.string) if text or not optional)
    elif field.type in INT_RANGES:
        name, lowest, highest = INT_RANGES[field.type]
        yield from _bad_numbers(getattr(rules, name), 1, [lowest, highest])
    elif field.type == FieldDescriptor.TYPE_DOUBLE:
        yield from _bad_numbers(rules.double, 0.01, [math.nan, math.inf, -math.inf, 1e308])
    elif field.type == FieldDescriptor.TYPE_ENUM:
        yield from [99, -1] if rules.enum.defined_only else []
        yield from rules.enum.not_in
    elif field.type != FieldDescriptor.TYPE_BOOL:
        raise AssertionError(f"no bad values for {field.full_name}")


def _bad_texts(rules: Any) -> Iterator[str]:
    if rules.uuid:
        yield from ["", *BAD_IDS]
    if getattr(rules, "in"):
        known = getattr(rules, "in")[0]
        yield from ["", "bogus", known.upper(), f"{known} "]
    if rules.min_len:
        yield ""
    if rules.max_len:
        yield from ["x" * (rules.max_len + 1), "x" * 100_000]
    if rules.pattern:
        yield from BAD_TEXTS[rules.pattern]
    yield from rules.not_in


def _bad_numbers(rules: Any, step: float, extremes: list[float]) -> Iterator[float]:
    """Just outside each bound, and the type's extremes where they are outside."""
    if not rules.ListFields():
        return
    low = rules.gte if rules.HasField("gte") else -math.inf
    high = rules.lte if rules.HasField("lte") else math.inf
    candidates = [low - step, high + step, *extremes]
    seen = set()
    for value in candidates:
        outside = not low <= value <= high
        known = not math.isinf(value) or value in extremes
        if outside and known and value not in seen:
            seen.add(value)
            yield value


def _bad_times(rules: Any) -> Iterator[tuple[int, int]]:
    within = rules.gte.seconds if rules.HasField("gte") else 4_000_000_000
    yield within, -1
    yield within, 1_000_000_000
    yield 2**62, 0
    yield -(2**62), 0
    if rules.HasField("gte"):
        yield rules.gte.seconds - 1, 0
    yield rules.lt.seconds, 0


def _is_ours(descriptor: Descriptor) -> bool:
    return descriptor.file.package.startswith("guerdon.")


def _clear(name: str) -> Spoil:
    return lambda message: message.ClearField(name)


def _assign(name: str, value: object) -> Spoil:
    return lambda message: setattr(message, name, value)


def _assign_item(name: str, value: object) -> Spoil:
    def spoil(message: Message) -> None:
        getattr(message, name)[0] = value

    return spoil


def _assign_time(name: str, seconds: int, nanos: int) -> Spoil:
    def spoil(message: Message) -> None:
        getattr(message, name).seconds = seconds
        getattr(message, name).nanos = nanos

    return spoil


def _repeat(name: str, count: int) -> Spoil:
    def spoil(message: Message) -> None:
        items = getattr(message, name)
        items.extend([items[0]] * (count - 1))

    return spoil


def _descend(name: str, inner: Spoil, *, item: bool) -> Spoil:
    def spoil(message: Message) -> None:
        child = getattr(message, name)
        inner(child[0] if item else child)

    return spoil
