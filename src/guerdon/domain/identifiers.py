"""Names of things. All are UUIDs but where a caller's own text is kept as it came."""

import re
from typing import NewType
from uuid import UUID

_UUID_FORM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)

TenantId = NewType("TenantId", UUID)
OfferId = NewType("OfferId", UUID)
CustomerId = NewType("CustomerId", UUID)
ProductId = NewType("ProductId", UUID)
RequestId = NewType("RequestId", UUID)
"""The caller's name for one intent; it is the redemption's id as well."""
TargetId = NewType("TargetId", UUID)
"""Id of what an offer lists: a product, a supplier's product or a supplier."""


def parse_uuid(value: object) -> UUID | None:
    """The UUID written as 8-4-4-4-12 hex digits; None for anything else.

    uuid.UUID takes braces, prefixes and missing hyphens as well: other spellings of one id, which
    a protocol should not have.
    """
    if not isinstance(value, str) or not _UUID_FORM.fullmatch(value):
        return None
    return UUID(value)
