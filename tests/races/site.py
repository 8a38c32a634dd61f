"""Two server processes on a Postgres and a Redis of the proofs' own, and tenants who use them."""

import contextlib
import glob
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import psutil
from prometheus_client.multiprocess import MultiProcessCollector

from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.offers import PostgresOffers
from guerdon.domain.identifiers import OfferId, TenantId
from guerdon.domain.offers import (
    Discount,
    DiscountType,
    Offer,
    OfferDraft,
    OfferStatus,
    Translation,
)
from guerdon.serving.supervisor import METRICS_FOLDER_VARIABLE
from guerdon.telemetry import CALLS
from loadtests.audit import Report, audit
from loadtests.faults.redis_node import RedisNode
from loadtests.history import CODES, Attempt, Goal, History
from tests.process.servers import Server, environment
from tests.support.api_keys import insert_api_key
from tests.support.ledger import counters, insert_tenant, new_id

TWO_WORKERS = ("--workers", "2")


@dataclass(frozen=True)
class Store:
    """A migrated database, as its owner and as the application role."""

    url: str
    owner: asyncpg.Connection
    database: Database
    pepper: bytes

    async def new_tenant(self) -> "Tenant":
        tenant_id = await insert_tenant(self.owner)
        return Tenant(self, tenant_id, await insert_api_key(self.owner, tenant_id, self.pepper))


@dataclass(frozen=True)
class Tenant:
    """A tenant with a key of every scope."""

    store: Store
    tenant_id: TenantId
    key: str

    async def new_offer(self, **fields: Any) -> OfferId:
        """An active offer of 10 % for everyone, unless `fields` of Offer say otherwise."""
        given: dict[str, Any] = {
            "offer_id": OfferId(new_id()),
            "status": OfferStatus.ACTIVE,
            "discount": Discount(DiscountType.PERCENTAGE, bps=1000),
            "currency": "NGN",
            "translations": {"en": Translation("Ten percent off")},
            **fields,
        }
        draft = OfferDraft(offer=Offer(tenant_id=self.tenant_id, version=0, **given))
        record = await PostgresOffers(self.store.database).create(draft, "test")
        return record.draft.offer.offer_id

    def seen_by(self, store: Store) -> "Tenant":
        """The same tenant by other connections."""
        return Tenant(store, self.tenant_id, self.key)

    async def audit(self, goals: Sequence[Goal], attempts: Sequence[Attempt]) -> Report:
        """Every check of the load test's audit, over these offers."""
        history = History(self.tenant_id, list(goals), list(attempts))
        return await audit(self.store.url, history)


@dataclass(frozen=True)
class Site:
    """Where the proofs' clients call."""

    store: Store
    redis: RedisNode
    server: Server


@contextlib.asynccontextmanager
async def open_store(url: str, pepper: bytes) -> AsyncIterator[Store]:
    owner = await asyncpg.connect(url)
    database = await Database.open(url)
    try:
        yield Store(url, owner, database, pepper)
    finally:
        await database.close()
        await owner.close()


def site_environment(store: Store, redis: RedisNode) -> dict[str, str]:
    """Settings of the site's servers."""
    pepper = store.pepper.hex()
    return environment(store.url, REDIS_URL=redis.url, GUERDON_API_KEY_PEPPER=pepper)


def assert_passed(report: Report, *, but: Collection[str] = ()) -> None:
    """Every check passed, `but` for those named, which do not fit what was done."""
    found = [finding for finding in report.findings if finding.count and finding.check not in but]
    assert not found, "\n".join(
        f"{f.check}: {f.sentence} {f.count} times, such as {'; '.join(f.examples)}" for f in found
    )


async def assert_used_up(
    tenant: Tenant, offer_id: OfferId, attempts: Sequence[Attempt], total: int
) -> None:
    """The total limit is reached exactly, by every row, counter and answer; no server failed."""
    codes = {CODES[answer.code].name for attempt in attempts for answer in attempt.answers}
    assert not codes & {"INTERNAL", "UNKNOWN"}
    row = await counters(tenant.store.owner, offer_id)
    assert row["used"] == row["live_rows"] == total
    assert row["spent_minor"] == row["live_discount"]
    assert row["last_sequence"] == row["effects"]
    assert_passed(await tenant.audit([Goal(offer_id, "used up", total=total)], attempts))


def calls_by_worker(server: Server) -> dict[int, int]:
    """How many calls each worker process has answered, by its own metrics."""
    found = {}
    for worker in server.workers().values():
        pid = int(worker["pid"])
        folder = psutil.Process(pid).environ()[METRICS_FOLDER_VARIABLE]
        files = glob.glob(f"{folder}/counter_{pid}.db")
        collector: Any = MultiProcessCollector
        metrics = collector.merge(files, accumulate=True)
        found[pid] = sum(
            int(sample.value)
            for metric in metrics
            if metric.name == CALLS
            for sample in metric.samples
        )
    return found
