"""Odd messages: any field at an edge of what its constraints allow, or a step beyond."""

import random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from tests.grpc.bad_values import rules_of
from tests.grpc.requests import ID

# Of a field to be bent: mostly one or two in a message, so that many get past the constraints.
CHANCES = [0.03, 0.1, 0.4]
TEXTS = [
    "", " ", "a", "%", "_", "'", '"', "\\", "{}", "null", "NaN", "-1", "1e400", "\u0130", "\u00df",
    "e\u0301", "\U0001f600", "\u0627\u0644", "\u202e", "\u200b", "\ufeff", "\ufffd", "\U0010ffff",
    "a\tb", "; drop table guerdon.offers; --",
]  # fmt: skip
IDS = [
    ID,
    ID.upper(),
    "0" * 8 + "-0000-0000-0000-" + "0" * 12,
    "f" * 8 + "-ffff-ffff-ffff-" + "f" * 12,
]
CURRENCIES = ["NGN", "JPY", "KWD", "USD", "XXX", "ZZZ"]
INTS = [0, 1, 2, -1, 2**31 - 1, -(2**31), 10**6, 10**6 + 1]
LONGS = [*INTS, 2**53 - 1, 2**53, 10**15, 10**15 + 1, 2**63 - 1, -(2**63)]
DOUBLES = [0.0, -0.0, 1e-300, 0.01, 0.005, 0.1 + 0.2, 12.5, 99.99, 100.0, 1e13, 1e308, float("inf")]
SECONDS = [0, 1, -1, 946684800, -2208988800, 253370764799, 253370764800, 2**62, 1_795_000_000]
NANOS = [0, 1, 999_999_999, -1, 10**9]


def odd_message(good: Message, dice: random.Random) -> Message:
    """A copy of a good message with some fields set to odd values, at any depth."""
    odd = type(good)()
    odd.CopyFrom(good)
    _bend(odd, dice, dice.choice(CHANCES))
    return odd


def _bend(message: Message, dice: random.Random, chance: float) -> None:
    descriptor: Any = message.DESCRIPTOR  # Its stub is a union of two classes.
    for field in descriptor.fields:
        chosen = dice.random() < chance
        if field.is_repeated:
            _bend_list(message, field, dice, chance)
        elif field.message_type is not None:
            if message.HasField(field.name) or chosen:
                _bend_child(getattr(message, field.name), dice, chance)
        elif not chosen:
            # Tokens are made up in the good requests, and would stop every list at once.
            if field.name == "page_token":
                message.ClearField(field.name)
        elif dice.random() < 0.1:
            message.ClearField(field.name)
        else:
            setattr(message, field.name, _odd_scalar(field, rules_of(field).string, dice))


def _bend_list(
    message: Message, field: FieldDescriptor, dice: random.Random, chance: float
) -> None:
    items = getattr(message, field.name)
    if field.message_type is None:
        if dice.random() > chance:
            return
        rules = rules_of(field).repeated.items.string
        items[:] = [_odd_scalar(field, rules, dice) for _ in range(dice.randrange(4))]
        return
    for item in items:
        _bend_child(item, dice, chance)
    if len(items) and dice.random() < chance:
        items.add().CopyFrom(items[0])


def _bend_child(child: Message, dice: random.Random, chance: float) -> None:
    if isinstance(child, Timestamp):
        if dice.random() < chance:
            child.seconds, child.nanos = dice.choice(SECONDS), dice.choice(NANOS)
    elif isinstance(child, Struct):
        if dice.random() < chance:
            child.update({dice.choice(["count", "amount", "days", "x", ""]): _odd_json(dice, 3)})
    else:
        _bend(child, dice, chance)


def _odd_scalar(field: FieldDescriptor, rules: Any, dice: random.Random) -> Any:
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return _odd_text(rules, dice)
        case FieldDescriptor.TYPE_INT32:
            return dice.choice(INTS)
        case FieldDescriptor.TYPE_INT64:
            return dice.choice(LONGS)
        case FieldDescriptor.TYPE_DOUBLE:
            return dice.choice(DOUBLES)
        case FieldDescriptor.TYPE_ENUM:
            return dice.randrange(5)
        case _:
            return dice.random() < 0.5


def _odd_text(rules: Any, dice: random.Random) -> str:
    if rules.uuid:
        return dice.choice(IDS)
    if getattr(rules, "in"):
        return str(dice.choice([*getattr(rules, "in"), ""]))
    if rules.pattern == "^[A-Z]{3}$":
        return dice.choice(CURRENCIES)
    text: str = dice.choice(TEXTS)
    longest: int = max(1, rules.max_len // max(1, len(text)))
    return text * dice.choice([1, 2, longest])


def _odd_json(dice: random.Random, depth: int) -> Any:
    match dice.randrange(6 if depth else 4):
        case 0:
            return None
        case 1:
            return dice.random() < 0.5
        case 2:
            return dice.choice(DOUBLES)
        case 3:
            return dice.choice(TEXTS)
        case 4:
            return {"a": _odd_json(dice, depth - 1)}
        case _:
            return [_odd_json(dice, depth - 1)]
