"""Revoke: give the use of a request back, also before the request arrives."""

from guerdon.domain.errors import Conflict, OutcomeUnknown
from guerdon.domain.identifiers import RequestId, TenantId
from guerdon.domain.redemption import Revocation
from guerdon.limits import ATTEMPTS_MAX
from guerdon.ports import Admission, LocksTimedOut, RedemptionStore


class Revoke:
    """Idempotent: sending it again is how a lost answer is resolved."""

    def __init__(self, store: RedemptionStore, admission: Admission) -> None:
        self._store = store
        self._admission = admission

    async def __call__(self, tenant_id: TenantId, request_id: RequestId, reason: str) -> Revocation:
        """Raises OutcomeUnknown only when the answer was lost again and again."""
        error: Exception = Conflict()
        for _ in range(ATTEMPTS_MAX):
            try:
                revocation, counters = await self._store.revoke(tenant_id, request_id, reason)
            except (Conflict, OutcomeUnknown) as failed:
                error = failed
            except LocksTimedOut:
                raise Conflict from None
            else:
                if counters is not None:
                    self._admission.record(tenant_id, [counters])
                return revocation
        raise error
