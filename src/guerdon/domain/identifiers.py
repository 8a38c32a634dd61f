"""Names of things. All are UUIDs but where a caller's own text is kept as it came."""

from typing import NewType
from uuid import UUID

TenantId = NewType("TenantId", UUID)
OfferId = NewType("OfferId", UUID)
CustomerId = NewType("CustomerId", UUID)
ProductId = NewType("ProductId", UUID)
RequestId = NewType("RequestId", UUID)
"""The caller's name for one intent; it is the redemption's id as well."""
TargetId = NewType("TargetId", UUID)
"""Id of what an offer lists: a product, a supplier's product or a supplier."""
