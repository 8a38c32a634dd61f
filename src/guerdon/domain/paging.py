"""Page tokens: opaque to callers, bound to the query that they continue."""

import base64
import binascii
import hashlib
from typing import TypeVar

import msgspec

from guerdon.domain.errors import PageTokenInvalid

Position = TypeVar("Position", bound=msgspec.Struct)

_FINGERPRINT_BYTES = 8


def write_token(query: msgspec.Struct, position: msgspec.Struct) -> str:
    """A token that continues `query` after `position`; URL-safe text."""
    content = _fingerprint(query) + msgspec.json.encode(position)
    return base64.urlsafe_b64encode(content).decode()


def read_token(token: str, query: msgspec.Struct, position_type: type[Position]) -> Position:
    """The position. Raises PageTokenInvalid for a token that no page of `query` gave."""
    try:
        content = base64.urlsafe_b64decode(token.encode())
        if content[:_FINGERPRINT_BYTES] != _fingerprint(query):
            raise PageTokenInvalid
        return msgspec.json.decode(content[_FINGERPRINT_BYTES:], type=position_type)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise PageTokenInvalid from error


def _fingerprint(query: msgspec.Struct) -> bytes:
    text = type(query).__name__.encode() + msgspec.json.encode(query)
    return hashlib.sha256(text).digest()[:_FINGERPRINT_BYTES]
