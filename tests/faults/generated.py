"""Runs of any size that never took place: a history as clients write it and the rows that go with
it, all of it sound."""

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import asyncpg
import msgspec

from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.offers import PostgresOffers
from guerdon.api.offers.v1.offer_service_pb2 import RedeemResponse
from guerdon.api.offers.v1.pricing_pb2 import PricedLine
from guerdon.api.offers.v1.redemption_pb2 import Redemption
from guerdon.domain.identifiers import OfferId
from guerdon.domain.offers import Discount, DiscountType, Offer, OfferDraft, OfferStatus
from loadtests.faults.intents import Intent, Stray
from loadtests.faults.record import HISTORY_FOLDER, CounterPair, RunRecord
from loadtests.faults.schedule import Schedule
from loadtests.faults.wares import Kind, Ware
from loadtests.history import OK, Answer, Goal
from tests.faults.samples import Scribe
from tests.loadtests.scene import EXHAUSTED, TOTAL, status_of
from tests.support.ledger import insert_tenant, new_id

# Of the attempts for each offer, the part that its limit grants.
GRANTED = 2 / 5
LIST_MINOR, DISCOUNT_MINOR = 1000, 100
NOT_FOUND = 5
# Seconds from one attempt to the next, and from a sending to its answer.
STEP_SECONDS, ANSWER_SECONDS = 0.001, 0.004

# A refusal of all of them is the same bytes.
REFUSED = status_of(TOTAL)


class Generated(msgspec.Struct):
    """A run as the lab would have left it."""

    folder: Path
    record: RunRecord
    granted: list[Intent]
    scribe: Scribe


async def generate_run(
    owner: asyncpg.Connection, database: Database, folder: Path, attempts: int, offers: int
) -> Generated:
    """So many attempts, evenly for so many offers; each is used up to its limit."""
    tenant_id = await insert_tenant(owner)
    (folder / HISTORY_FOLDER).mkdir()
    began_at = time.monotonic()
    schedule = Schedule(seed=1, seconds=1.0, servers=2, steps=())
    record = RunRecord("generated", schedule, "2026-01-01T00:00:00", began_at, [tenant_id], [])
    granted: list[Intent] = []
    for number in range(offers):
        each = attempts // offers
        total = int(each * GRANTED)
        offer = Offer(
            tenant_id=tenant_id,
            offer_id=OfferId(new_id()),
            version=1,
            status=OfferStatus.ACTIVE,
            discount=Discount(DiscountType.PERCENTAGE, bps=1000),
            currency="NGN",
            total_limit=total,
        )
        await PostgresOffers(database).create(OfferDraft(offer=offer), "test")
        scribe = Scribe(folder / HISTORY_FOLDER / f"client-{number}", tenant_id, offer.offer_id)
        mine = list(write_history(scribe, began_at, each, total))
        await write_rows(owner, tenant_id, offer.offer_id, mine)
        granted += mine
        record.wares.append(Ware(tenant_id, offer.offer_id, Kind.HOT, 1, total=total))
        record.goals.append(Goal(offer.offer_id, f"offer {number}", total=total))
        counted = {"sequence": str(total), "used": str(total)}
        record.observed.counters.append(CounterPair(offer.offer_id, dict(counted), counted))
    foreign = Stray(tenant_id, "GetRedemption", True, began_at, began_at, NOT_FOUND,
                    status_of("REDEMPTION_NOT_FOUND"))  # fmt: skip
    scribe.log.write(foreign)
    record.quiet_at = record.ended_at = began_at + attempts * STEP_SECONDS
    return Generated(folder, record, granted, scribe)


def write_history(scribe: Scribe, began_at: float, count: int, total: int) -> Iterator[Intent]:
    """Yields the intents that were granted, in the order of their numbers."""
    for number in range(count):
        intent = scribe.intent()
        sent_at = began_at + number * STEP_SECONDS
        sent = scribe.sent(intent, sent_at)
        answered_at = sent_at + ANSWER_SECONDS
        if number < total:
            body = granted_body(intent, number + 1)
            scribe.heard(sent, Answer(sent_at, answered_at, OK, body))
            yield intent
        else:
            # The last use may be committed only when its answer arrives.
            late = answered_at + ANSWER_SECONDS
            scribe.heard(sent, Answer(sent_at, late, EXHAUSTED, REFUSED))


def granted_body(intent: Intent, sequence: int) -> bytes:
    redemption = Redemption(
        request_id=str(intent.request_id),
        offer_id=str(intent.offer_id),
        offer_version=1,
        customer_id=str(intent.customer_id),
        line=PricedLine(
            list_minor=LIST_MINOR,
            discount_minor=DISCOUNT_MINOR,
            paid_minor=LIST_MINOR - DISCOUNT_MINOR,
        ),
        currency="NGN",
        sequence=sequence,
        customer_use=1,
    )
    return RedeemResponse(redemption=redemption).SerializeToString()


async def write_rows(
    owner: asyncpg.Connection, tenant_id: UUID, offer_id: UUID, granted: list[Intent]
) -> None:
    now = await owner.fetchval("select now()")
    paid_minor = LIST_MINOR - DISCOUNT_MINOR
    money = {"list_minor": LIST_MINOR, "discount_minor": DISCOUNT_MINOR, "paid_minor": paid_minor}
    mine = {"tenant_id": tenant_id, "offer_id": offer_id}
    redeemed = {
        **mine,
        **money,
        "body_hash": b"hash",
        "offer_version": 1,
        "slot": 0,
        "customer_use": 1,
        "currency": "NGN",
        "redeemed_at": now,
    }
    line = {"tenant_id": tenant_id, "quantity": 1, "unit_price_minor": LIST_MINOR, **money}
    tables: dict[str, list[dict[str, object]]] = {
        "redemptions": [
            {**redeemed, "request_id": one.request_id, "customer_id": one.customer_id,
             "sequence": sequence}
            for sequence, one in enumerate(granted, 1)
        ],
        "redemption_lines": [{**line, "request_id": one.request_id} for one in granted],
        "offer_customer_usage": [
            {**mine, "customer_id": one.customer_id, "used": 1, "last_use": 1} for one in granted
        ],
    }  # fmt: skip
    for table, rows in tables.items():
        await owner.copy_records_to_table(
            table,
            schema_name="guerdon",
            columns=list(rows[0]),
            records=[tuple(row.values()) for row in rows],
        )
    await owner.execute(
        "update guerdon.offer_counters set used = $2, last_sequence = $2, spent_minor = $3"
        " where offer_id = $1",
        offer_id,
        len(granted),
        len(granted) * DISCOUNT_MINOR,
    )
