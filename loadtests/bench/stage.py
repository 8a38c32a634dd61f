"""Everything that a run measures, started and filled: databases, servers, rivals, offers, facts.

All databases are on one Postgres server, each with a Guerdon server of its own, so that what one
row leaves behind does not weigh on another.
"""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from uuid import UUID

import msgspec
from rich.console import Console
from rich.status import Status
from uuid_utils.compat import uuid7

from loadtests.admin import admin_of, tenant_of
from loadtests.bench.cpu import listeners_of
from loadtests.bench.fill import clone_offers, copy_facts, fill_redemptions
from loadtests.bench.plan import Plan
from loadtests.bench.rivals.textbook import URL_VARIABLE
from loadtests.bench.scene import offer_with_rules, prepare_guerdon, prepare_textbook
from loadtests.servers import Access, own_database, own_databases, own_guerdon, own_rival

# Limits that are looked at for every call, and never reached while throughput is measured.
TOTAL_LIMIT = 2_000_000_000
PER_CUSTOMER_LIMIT = 1_000_000
# Those of the offer that is asked for three times as often as it may be used.
SCARCE_TOTAL_LIMIT = 1_000
SCARCE_PER_CUSTOMER_LIMIT = 2


class Site(msgspec.Struct, frozen=True):
    """A Guerdon server with its database: its hot offer, and further ones like it."""

    name: str
    access: Access
    tenant_id: UUID
    hot: UUID
    others: tuple[UUID, ...] = ()
    inherited: dict[UUID, int] = {}
    """Offer -> number of its last effect before the run, where there is one."""

    @property
    def offers(self) -> list[UUID]:
        return [self.hot, *self.others]


class Stage(msgspec.Struct, frozen=True):
    """`main` serves most rows, with the offer that sells out; `full` holds the fill, and `fresh`
    begins with nothing. Rivals by name with their ports; processes by component."""

    customers: list[UUID]
    main: Site
    scarce: UUID
    full: Site
    fresh: Site
    rivals: dict[str, int]
    redis_url: str
    processes: dict[str, list[int]]

    @property
    def sites(self) -> tuple[Site, ...]:
        return self.main, self.full, self.fresh


@contextmanager
def stage_of(plan: Plan, console: Console) -> Iterator[Stage]:
    """It is gone with the block, or with this process however it ends."""
    with ExitStack() as stack:
        status = stack.enter_context(console.status("Starting Postgres and Redis ..."))
        builder = Builder(plan, stack, status)
        customers = [uuid7() for _ in range(plan.customers)]
        # The fill takes longest, so it goes on beside all that follows.
        full, filling = builder.begin_full(customers)
        main = builder.site("main", builder.database_url, plan.spread_offers - 1)
        scarce = builder.fill_main(main, customers)
        fresh = builder.site("fresh", builder.another())
        for site in (full, fresh):
            asyncio.run(copy_facts(builder.database_url, site.access.database_url, main.tenant_id))
        rivals = builder.rivals(main, customers)
        status.update("Filling a database with a million redemptions ...")
        full = msgspec.structs.replace(full, inherited=filling.result())
        processes = {
            "postgres": listeners_of(builder.database_url),
            "redis": listeners_of(builder.redis_url),
        }
        status.stop()
        yield Stage(customers, main, scarce, full, fresh, rivals, builder.redis_url, processes)


class Builder:
    """The steps. What they start ends with the stack."""

    def __init__(self, plan: Plan, stack: ExitStack, status: Status) -> None:
        self._plan = plan
        self._stack = stack
        self._status = status
        self.database_url, self.redis_url = stack.enter_context(own_databases())
        self._beside = stack.enter_context(ThreadPoolExecutor(max_workers=1))

    def another(self) -> str:
        """A further empty database."""
        return self._stack.enter_context(own_database(self.database_url))

    def site(self, name: str, database_url: str, further_offers: int = 0) -> Site:
        """A server on an empty database, which it migrates, with a hot offer and copies of it."""
        self._status.update(f"Starting a Guerdon server: {name} ...")
        guerdon = own_guerdon(database_url, self.redis_url, self._plan.workers)
        access = self._stack.enter_context(guerdon)
        tenant_id = tenant_of(access.api_key)
        with admin_of(access.address, access.api_key) as admin:
            hot = admin.create_offer(offer_with_rules(TOTAL_LIMIT, PER_CUSTOMER_LIMIT))
        others = tuple(uuid7() for _ in range(further_offers))
        asyncio.run(clone_offers(database_url, tenant_id, hot, others))
        return Site(name, access, tenant_id, hot, others)

    def begin_full(self, customers: Sequence[UUID]) -> "tuple[Site, Future[dict[UUID, int]]]":
        """The site, and its redemptions being written: gives the last number of each offer."""
        site = self.site("full", self.another(), self._plan.full_offers - 1)

        def fill() -> dict[UUID, int]:
            return asyncio.run(
                fill_redemptions(
                    site.access.database_url,
                    site.tenant_id,
                    site.hot,
                    site.others,
                    customers,
                    self._plan.fill,
                )
            )

        return site, self._beside.submit(fill)

    def fill_main(self, site: Site, customers: Sequence[UUID]) -> UUID:
        """Facts by the API, and the offer that sells out."""
        self._status.update(f"Pushing facts of {len(customers):,} customers ...")
        with admin_of(site.access.address, site.access.api_key) as admin:
            prepare_guerdon(admin, customers)
            return admin.create_offer(
                offer_with_rules(SCARCE_TOTAL_LIMIT, SCARCE_PER_CUSTOMER_LIMIT)
            )

    def rivals(self, main: Site, customers: Sequence[UUID]) -> dict[str, int]:
        """Each with its port. They work in a schema of their own in the main database."""
        self._status.update("Starting the rivals ...")
        url = self.database_url
        limits = (TOTAL_LIMIT, PER_CUSTOMER_LIMIT)
        asyncio.run(prepare_textbook(url, main.hot, customers, *limits))
        workers, variables = self._plan.workers, {URL_VARIABLE: url}
        return {
            name: self._stack.enter_context(own_rival(name, workers, variables))
            for name in ("echo", "textbook", "one_call")
        }
