"""GetRedemption: one redemption by its request id."""

from guerdon.domain.errors import NotFound
from guerdon.domain.identifiers import RequestId, TenantId
from guerdon.domain.redemption import Redemption
from guerdon.ports import RedemptionStore


class GetRedemption:
    """Reads Postgres, so that it sees every acknowledged redemption."""

    def __init__(self, store: RedemptionStore) -> None:
        self._store = store

    async def __call__(self, tenant_id: TenantId, request_id: RequestId) -> Redemption:
        """Raises NotFound, also for a request that was revoked before it arrived."""
        redemption = await self._store.find(tenant_id, request_id)
        if redemption is None:
            raise NotFound("redemption", request_id)
        return redemption
