"""A reason tells the same, whichever road its answer took: what docs/errors.md says."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import pytest

from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.redemptions import PostgresRedemptions
from guerdon.adapters.redis import admission
from guerdon.dataplane.check_eligibility import EligibilityQuestion
from guerdon.dataplane.quote import QuoteQuestion
from guerdon.domain.identifiers import TenantId
from guerdon.domain.redemption import RedeemCommand, RedemptionItem
from guerdon.domain.refusals import Refusal, RefusalReason, Refused
from guerdon.ports import BatchAnswer, Counters, Observation, Probe
from tests.dataplane.engine import SECONDS, Engine, open_engine
from tests.dataplane.refusal_cases import CASES, CHECKED, LOCKED, QUOTED, TOTAL_LIMIT, Case, Site
from tests.support.databases import DatabaseFactory
from tests.support.error_page import KEYS
from tests.support.ledger import insert_tenant

CONFIRMED = "confirmed"
NO_REDIS = "redis://127.0.0.1:1"


class WatchedRedemptions(PostgresRedemptions):
    """Remembers which roads were taken into Postgres."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.roads: list[str] = []

    async def redeem(self, tenant_id: TenantId, items: Sequence[RedemptionItem]) -> BatchAnswer:
        self.roads.append(LOCKED)
        return await super().redeem(tenant_id, items)

    async def observe(
        self, tenant_id: TenantId, probes: Sequence[Probe], *, explain: bool
    ) -> Sequence[Observation]:
        self.roads.append(CONFIRMED)
        return await super().observe(tenant_id, probes, explain=explain)


@pytest.fixture(scope="module")
async def database_url(databases: DatabaseFactory) -> AsyncIterator[str]:
    """One database for all cases: each has a tenant of its own."""
    name = await databases.clone()
    yield databases.url(name)
    await databases.drop(name)


@pytest.fixture
async def site(
    database: Database, redis_url: str, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    # A slow machine must not send a case down another road.
    monkeypatch.setattr(admission, "REDIS_TIMEOUT_SECONDS", SECONDS)
    async with open_engine(database, redis_url) as engine:
        yield Site(database, owner, engine, await insert_tenant(owner))


async def confirmed_refusal(site: Site, redis_url: str, asked: RedeemCommand) -> Refusal:
    """With a Redis that believes the offer to be sold out, everything is confirmed."""
    watched = WatchedRedemptions(site.database)
    async with open_engine(site.database, redis_url, watched) as engine:
        if asked.offer.offer_id is not None:
            lie = Counters(asked.offer.offer_id, 1, 999, 999, TOTAL_LIMIT, None, {})
            engine.admission.record(site.tenant, [lie])
            await engine.admission.told()
        refusal = await refusal_of_redeem(engine, asked)
    assert watched.roads == [CONFIRMED]
    return refusal


async def locked_refusal(site: Site, case: Case, asked: RedeemCommand) -> Refusal:
    """Without Redis, whatever the guards let pass goes to the locking function."""
    watched = WatchedRedemptions(site.database)
    async with open_engine(site.database, NO_REDIS, watched) as engine:
        engine.clock_offset = case.clock_offset
        refusal = await refusal_of_redeem(engine, asked)
    assert watched.roads == [LOCKED]
    return refusal


async def refusal_of_redeem(engine: Engine, asked: RedeemCommand) -> Refusal:
    with pytest.raises(Refused) as caught:
        await engine.redeem(asked, SECONDS)
    return caught.value.refusal


async def checked_refusal(engine: Engine, asked: RedeemCommand) -> Refusal:
    question = EligibilityQuestion(
        tenant_id=asked.tenant_id,
        offer=asked.offer,
        customer_id=asked.customer_id,
        line=asked.line,
        currency=asked.currency,
        service_type=asked.service_type,
    )
    async with heard() as refusals:
        refusals += (await engine.check_eligibility(question, SECONDS)).refusals
    return refusals[0]


async def quoted_refusal(engine: Engine, asked: RedeemCommand) -> Refusal:
    question = QuoteQuestion(asked, asked.customer_id, asked.offer)
    async with heard() as refusals:
        refusals += (await engine.quote(question, SECONDS)).refusals
    return refusals[0]


@asynccontextmanager
async def heard() -> AsyncIterator[list[Refusal]]:
    """The refusals of an RPC that tells some as data and some as an error."""
    refusals: list[Refusal] = []
    try:
        yield refusals
    except Refused as refused:
        refusals.append(refused.refusal)


@pytest.mark.parametrize("name", CASES)
async def test_every_road_tells_the_same(site: Site, redis_url: str, name: str) -> None:
    case = CASES[name]
    asked = await case.ask(site)
    refusal = await confirmed_refusal(site, redis_url, asked)
    assert refusal.reason is case.reason
    assert set(refusal.details) == KEYS[case.reason.name].all - case.missing
    assert not {str(asked.customer_id), asked.order_ref} & set(refusal.details.values())
    by_road = {}
    if LOCKED in case.roads:
        by_road[LOCKED] = await locked_refusal(site, case, asked)
    if CHECKED in case.roads:
        by_road[CHECKED] = await checked_refusal(site.engine, asked)
    if QUOTED in case.roads:
        by_road[QUOTED] = await quoted_refusal(site.engine, asked)
    assert by_road == dict.fromkeys(case.roads, refusal)


def test_there_is_a_case_of_every_reason_and_of_every_key_that_may_be_missing() -> None:
    assert {case.reason for case in CASES.values()} == set(RefusalReason)
    missing: dict[RefusalReason, set[str]] = {reason: set() for reason in RefusalReason}
    for case in CASES.values():
        missing[case.reason] |= case.missing
    assert missing == {reason: KEYS[reason.name].sometimes for reason in RefusalReason}
