"""Asks Postgres without locking, in batches, for the RPCs that promise nothing."""

import asyncio
from collections.abc import Sequence

from guerdon.dataplane.batcher import Batcher
from guerdon.domain.identifiers import TenantId
from guerdon.ports import Observation, Probe, RedemptionStore
from guerdon.telemetry import SPAN_OBSERVE_BATCH, Metrics


class Observer:
    """Probes of many callers in one statement. `places` bounds the batches in flight."""

    def __init__(self, store: RedemptionStore, places: asyncio.Semaphore, metrics: Metrics) -> None:
        self._store = store
        self._places = places
        self._batcher = self._make_batcher(metrics, explain=False)
        self._explaining_batcher = self._make_batcher(metrics, explain=True)

    async def observe(
        self, tenant_id: TenantId, probe: Probe, *, explain: bool, seconds: float
    ) -> Observation:
        """One probe, within `seconds`. Raises Overloaded, DeadlinePassed or a store's error."""
        batcher = self._explaining_batcher if explain else self._batcher
        return await batcher.submit(tenant_id, probe, key=object(), content=None, seconds=seconds)

    async def observe_all(
        self, tenant_id: TenantId, probes: Sequence[Probe]
    ) -> Sequence[Observation]:
        """Several probes of one caller by one snapshot, as a batch of their own."""
        if not probes:
            return ()
        async with self._places:
            return await self._store.observe(tenant_id, probes, explain=False)

    async def close(self) -> None:
        """Wait until everything under way is answered."""
        await self._batcher.close()
        await self._explaining_batcher.close()

    def _make_batcher(self, metrics: Metrics, *, explain: bool) -> Batcher[Probe, Observation]:
        async def run(tenant_id: TenantId, probes: Sequence[Probe]) -> Sequence[Observation]:
            return await self._store.observe(tenant_id, probes, explain=explain)

        return Batcher(SPAN_OBSERVE_BATCH, run, self._places, metrics)
