"""judge_customers_v1 against a plain reference in Python, over random histories and rules.

Histories are pushed in random order, in pieces, with retries and with statuses that come late; the
reference sees only where each transaction ended.
"""

import random
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import msgspec
import pytest

from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.facts import PostgresFacts
from guerdon.domain.facts import (
    ActivityDay,
    CustomerFacts,
    CustomerStatus,
    Transaction,
    TransactionKind,
    TransactionStatus,
)
from guerdon.domain.identifiers import CustomerId, OfferId, TenantId
from guerdon.domain.refusals import RefusalReason
from guerdon.domain.rules import RULE_TYPES
from tests.support.facts import Judgement, insert_rules, judge_all, rollup_errors, transaction
from tests.support.ledger import insert_offer, insert_tenant, new_id

ZONES = ["Africa/Lagos", "Pacific/Auckland", "America/St_Johns", "UTC", "Asia/Kathmandu"]
OPERATORS = [new_id() for _ in range(2)]
ROLES = ["vip", "reseller", "staff"]
FINAL_PATHS = [
    [TransactionStatus.PENDING],
    [TransactionStatus.SUCCEEDED],
    [TransactionStatus.PENDING, TransactionStatus.SUCCEEDED],
    [TransactionStatus.PENDING, TransactionStatus.FAILED],
    [TransactionStatus.SUCCEEDED, TransactionStatus.REVERSED],
    [TransactionStatus.REVERSED],
]


class Person(msgspec.Struct, kw_only=True):
    """One customer, as the reference knows it."""

    customer_id: CustomerId
    facts: CustomerFacts | None
    transactions: list[Transaction]
    active_days: list[date]


class WrittenOffer(msgspec.Struct, kw_only=True):
    """One offer, as the reference knows it."""

    offer_id: OfferId
    logic: str
    rules: list[tuple[str, dict[str, object]]]
    listed: bool
    customers: set[UUID]
    roles: set[str]


class World:
    """A tenant at a random moment, with people, offers, and the reference's judgement of them."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.zone = ZoneInfo(chance.choice(ZONES))
        self.now = datetime(2026, 3, 28, tzinfo=UTC) + timedelta(
            minutes=chance.randrange(60 * 24 * 3)
        )
        self.people = [self._person() for _ in range(12)]
        self.offers: list[WrittenOffer] = []

    @property
    def today(self) -> date:
        return self.now.astimezone(self.zone).date()

    def moment(self) -> datetime:
        """Mostly near the edges of the windows that the rules use."""
        days = self.chance.choice([0, 0, 1, 2, 6, 7, 8, 29, 30, 31, 364, 365, 366, 367, 800])
        return self.now - timedelta(days=days, minutes=self.chance.randrange(-700, 700))

    def _person(self) -> Person:
        chance, customer_id = self.chance, CustomerId(new_id())
        facts = CustomerFacts(
            customer_id=customer_id,
            status=chance.choices(list(CustomerStatus), [9, 1])[0],
            created_at=chance.choice([None, self.moment()]),
            roles=tuple(chance.sample(ROLES, chance.randrange(3))),
        )
        transactions = [
            transaction(
                customer_id,
                kind=chance.choice(list(TransactionKind)),
                status=chance.choice(list(TransactionStatus)),
                operator_id=chance.choice([None, *OPERATORS]),
                amount_minor=chance.randrange(500),
                currency=chance.choice(["NGN", "NGN", "USD"]),
                occurred_at=self.moment(),
            )
            for _ in range(chance.choice([0, 3, 12, 30]))
        ]
        days = [self.moment().date() for _ in range(chance.choice([0, 2, 5]))]
        return Person(
            customer_id=customer_id, facts=facts if chance.random() < 0.85 else None,
            transactions=transactions, active_days=days,
        )  # fmt: skip

    def rule(self) -> tuple[str, dict[str, object]]:
        """A rule near what the histories hold; sometimes one that is broken."""
        chance = self.chance
        rule_type = chance.choice(list(RULE_TYPES))
        params: dict[str, object] = {}
        for param in RULE_TYPES[rule_type].params:
            if not param.required and chance.random() < 0.4:
                continue
            match param.name:
                case "operator_id":
                    params[param.name] = str(chance.choice([*OPERATORS, new_id()]))
                case "amount":
                    params["amount_minor"] = chance.randrange(1, 3000)
                case "count" | "min_active_days":
                    params[param.name] = chance.randrange(1, 6)
                case _:
                    params[param.name] = chance.choice([1, 2, 7, 30, 365, 366])
        if chance.random() < 0.05:
            params.pop(chance.choice(list(params)))
        return rule_type, params

    def expect(
        self, offer: WrittenOffer, person: Person
    ) -> tuple[int, list[tuple[bool, int | None]]]:
        """The verdict, and for each rule whether it passes and what the customer has."""
        results = [self._weigh(rule_type, params, person) for rule_type, params in offer.rules]
        combine: Callable[[Iterable[bool]], bool] = all if offer.logic == "all" else any
        facts = person.facts
        if facts is not None and facts.status is CustomerStatus.BLOCKED:
            return RefusalReason.CUSTOMER_BLOCKED, results
        roles = set(facts.roles) if facts is not None else set()
        if offer.listed and person.customer_id not in offer.customers and not roles & offer.roles:
            return RefusalReason.NOT_IN_AUDIENCE, results
        if results and not combine(passed for passed, _ in results):
            return RefusalReason.NOT_ELIGIBLE, results
        return 0, results

    def _weigh(
        self, rule_type: str, params: dict[str, object], person: Person
    ) -> tuple[bool, int | None]:
        needed = {p.kept_name for p in RULE_TYPES[rule_type].params if p.required}
        if person.facts is None or needed - params.keys():
            return False, None
        given = {name: value for name, value in params.items() if isinstance(value, int)}
        if rule_type == "new_user":
            if person.facts.created_at is None:
                return False, None
            age = (self.today - self._day(person.facts.created_at)).days
            return age <= given["account_age_days"], age
        if rule_type == "last_active_within":
            days = [day for day in self._active_days(person) if self._is_within(day, 366)]
            if not days:
                return False, None
            which = (self.today - max(days)).days + 1
            return which <= given["days"], which
        if rule_type == "active_days":
            days_within = [
                d for d in self._active_days(person) if self._is_within(d, given["days"])
            ]
            return len(days_within) >= given["min_active_days"], len(days_within)
        counted = self._counted(person, params)
        if "amount_minor" in given:
            spent = sum(each.amount_minor for each in counted if each.currency == "NGN")
            return spent >= given["amount_minor"], spent
        if rule_type != "min_transactions":
            counted = [each for each in counted if each.kind is TransactionKind.TOPUP]
        return len(counted) >= given["count"], len(counted)

    def _counted(self, person: Person, params: dict[str, object]) -> list[Transaction]:
        window = params.get("window_days")
        operator = params.get("operator_id")
        return [
            each
            for each in person.transactions
            if each.status is TransactionStatus.SUCCEEDED
            and (
                not isinstance(window, int) or self._is_within(self._day(each.occurred_at), window)
            )
            and (operator is None or str(each.operator_id) == operator)
        ]

    def _active_days(self, person: Person) -> set[date]:
        return {self._day(each.occurred_at) for each in self._counted(person, {})} | set(
            person.active_days
        )

    def _day(self, moment: datetime) -> date:
        return moment.astimezone(self.zone).date()

    def _is_within(self, day: date, days: int) -> bool:
        return day > self.today - timedelta(days=days)


async def push_people(store: PostgresFacts, tenant: TenantId, world: World) -> None:
    """Every transaction by a path that ends in its status; retries, pieces and any order."""
    chance = world.chance
    steps: list[Transaction] = []
    for person in world.people:
        for each in person.transactions:
            path = chance.choice([path for path in FINAL_PATHS if path[-1] is each.status])
            steps += [msgspec.structs.replace(each, status=status) for status in path]
    steps += chance.sample(steps, len(steps) // 4)
    chance.shuffle(steps)
    for start in range(0, len(steps), 37):
        await store.record_transactions(tenant, steps[start : start + 37])
    known = [person.facts for person in world.people if person.facts is not None]
    await store.upsert_customers(tenant, known)
    days = [
        ActivityDay(person.customer_id, day)
        for person in world.people
        for day in person.active_days
    ]
    await store.record_activities(tenant, days)


async def write_offers(owner: asyncpg.Connection, tenant: TenantId, world: World) -> None:
    chance = world.chance
    for _ in range(20):
        logic, listed = chance.choice(["all", "any"]), chance.random() < 0.3
        offer_id = await insert_offer(
            owner, tenant, eligibility_logic=logic,
            audience_mode="listed" if listed else "everyone",
        )  # fmt: skip
        offer = WrittenOffer(
            offer_id=offer_id, logic=logic, listed=listed,
            rules=[world.rule() for _ in range(chance.choice([0, 1, 1, 2, 4]))],
            customers={chance.choice(world.people).customer_id},
            roles=set(chance.sample(ROLES, 1)),
        )  # fmt: skip
        world.offers.append(offer)
        await insert_rules(owner, tenant, offer_id, *offer.rules)
        for customer in offer.customers:
            await owner.execute(
                "insert into guerdon.offer_allowed_customers values ($1, $2, $3)",
                tenant, offer_id, customer,
            )  # fmt: skip
        for role in offer.roles:
            await owner.execute(
                "insert into guerdon.offer_allowed_roles values ($1, $2, $3)",
                tenant, offer_id, role,
            )  # fmt: skip


@pytest.mark.parametrize("seed", range(12))
async def test_the_judge_agrees_with_the_reference(
    seed: int, shared_database: Database, shared_owner: asyncpg.Connection
) -> None:
    world = World(random.Random(seed))
    tenant = await insert_tenant(shared_owner, time_zone=world.zone.key)
    await push_people(PostgresFacts(shared_database), tenant, world)
    await write_offers(shared_owner, tenant, world)
    assert await rollup_errors(shared_owner) == 0

    cases = [(offer, person) for offer in world.offers for person in world.people]
    world.chance.shuffle(cases)
    pairs = [(offer.offer_id, person.customer_id) for offer, person in cases]
    explained = await judge_all(shared_database, tenant, pairs, now=world.now)
    verdicts = await judge_all(shared_database, tenant, pairs, now=world.now, explain=False)
    assert [each.verdict for each in verdicts] == [each.verdict for each in explained]
    expected = [world.expect(offer, person) for offer, person in cases]
    assert [_outcome(judgement) for judgement in explained] == expected
    assert len({verdict for verdict, _ in expected}) > 2


def _outcome(judgement: Judgement) -> tuple[int, list[tuple[bool, int | None]]]:
    return judgement.verdict, [(rule.passed, rule.actual) for rule in judgement.rules]
