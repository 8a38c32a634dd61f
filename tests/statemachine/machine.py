"""Calls of every kind in any order, each held against the model at once.

Hypothesis runs in a thread of its own; the calls are made on the event loop of the server.
"""

import asyncio
import copy
from collections import Counter
from collections.abc import Coroutine, Sequence
from itertools import permutations
from typing import Any, ClassVar, TypeVar

import redis.asyncio
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.grpc.house import House
from tests.statemachine.client import Client, Sent, Told
from tests.statemachine.ledger import assert_ledger
from tests.statemachine.model import CURRENCY, UNIT_PRICE_MINOR, Body, Error, Model
from tests.support.ledger import new_id

CALL_SECONDS_MAX = 30.0
# Few of each, so that requests, customers and orders meet again and again.
REQUESTS = 12
CUSTOMERS = 3
OFFERS_MAX = 3
# Calls at once; every order of them is tried in the model.
AT_ONCE_MAX = 4

Result = TypeVar("Result")
Drawn = tuple[int, int, int, bool, int, str, str, int | None]

requests = st.integers(0, REQUESTS - 1)
customers = st.integers(0, CUSTOMERS - 1)
anyone_or_customers = st.one_of(st.none(), customers)
# From the newest back; where there are not so many, one that does not exist.
offers = st.sampled_from([0] * 12 + [1, 2])
quantities = st.integers(1, 2)
currencies = st.sampled_from([CURRENCY] * 9 + ["USD"])
# How many uses a new limit leaves beyond those that are counted; None: it is lifted.
spares = st.sampled_from([None, 0, 1, 2, -1])
bodies = st.tuples(
    requests,
    customers,
    offers,
    st.booleans(),
    quantities,
    currencies,
    st.sampled_from(["", "", "SO-1", "SO-2"]),
    # What is expected to be paid, in percent of the list price.
    st.sampled_from([None, None, None, 90, 75]),
)


class OfferServiceMachine(RuleBasedStateMachine):
    """A new tenant with one offer; when that is cancelled, with the next one."""

    loop: ClassVar[asyncio.AbstractEventLoop]
    house: ClassVar[House]
    redis_url: ClassVar[str]
    # How often each answer to a Redeem was met, over all examples.
    met: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.client = Client(self.wait(self.house.new_tenant()))
        self.request_ids = [str(new_id()) for _ in range(REQUESTS)]
        self.customer_ids = [str(new_id()) for _ in range(CUSTOMERS)]
        self.unknown_id = str(new_id())
        self.offer_ids: list[str] = []
        self.open_offer()

    def wait(self, work: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(CALL_SECONDS_MAX)

    def open_offer(self) -> None:
        offer = self.wait(self.client.create_offer(f"SAVE{len(self.offer_ids)}"))
        self.model.offers[offer.offer_id] = offer
        self.offer_ids.insert(0, offer.offer_id)

    def offer_id(self, back: int) -> str:
        return self.offer_ids[back] if back < len(self.offer_ids) else self.unknown_id

    def customer_id(self, customer: int | None) -> str:
        return "" if customer is None else self.customer_ids[customer]

    def sent(self, drawn: Drawn) -> Sent:
        request, customer, back, by_code, quantity, currency, order_ref, percent = drawn
        offer_id = self.offer_id(back)
        body = Body(
            offer_id=offer_id,
            by_code=by_code and offer_id != self.unknown_id,
            customer_id=self.customer_ids[customer],
            quantity=quantity,
            currency=currency,
            order_ref=order_ref,
            expected_paid_minor=percent and quantity * UNIT_PRICE_MINOR * percent // 100,
        )
        return self.request_ids[request], body

    # The data plane.

    @rule(drawn=bodies)
    def redeem(self, drawn: Drawn) -> None:
        sent = self.sent(drawn)
        self.compare_in_some_order([sent], [self.wait(self.client.redeem(sent))])

    @rule(drawn=bodies)
    def redeem_what_fits(self, drawn: Drawn) -> None:
        """Such as has little against it, so that many are granted."""
        request, customer, _, by_code, quantity, _, order_ref, _ = drawn
        self.redeem((request, customer, 0, by_code, quantity, CURRENCY, order_ref, None))

    @precondition(lambda self: self.model.rows)
    @rule(data=st.data())
    def redeem_again(self, data: st.DataObject) -> None:
        request_id = data.draw(st.sampled_from(sorted(self.model.rows)))
        sent = request_id, self.model.rows[request_id].body
        self.compare_in_some_order([sent], [self.wait(self.client.redeem(sent))])

    @rule(drawn=st.lists(bodies, min_size=1, max_size=AT_ONCE_MAX), twin=st.booleans())
    def redeem_batch(self, drawn: list[Drawn], twin: bool) -> None:
        sent = self.with_twin(drawn, twin)
        self.compare_in_some_order(sent, self.wait(self.client.redeem_batch(sent)))

    @rule(drawn=st.lists(bodies, min_size=1, max_size=AT_ONCE_MAX), twin=st.booleans())
    def redeem_at_once(self, drawn: list[Drawn], twin: bool) -> None:
        sent = self.with_twin(drawn, twin)
        self.compare_in_some_order(sent, self.wait(self.client.redeem_at_once(sent)))

    def with_twin(self, drawn: list[Drawn], twin: bool) -> list[Sent]:
        all_sent = [self.sent(one) for one in drawn]
        return [*all_sent[: AT_ONCE_MAX - 1], all_sent[0]] if twin else all_sent

    @rule(request=requests, reason=st.sampled_from(["", "payment failed", "asked for"]))
    def revoke(self, request: int, reason: str) -> None:
        request_id = self.request_ids[request]
        told = self.wait(self.client.revoke(request_id, reason))
        assert told == self.model.revoke(request_id, reason, told["revoke_time"])

    @rule(request=requests)
    def get_redemption(self, request: int) -> None:
        request_id = self.request_ids[request]
        told = self.wait(self.client.get_redemption(request_id))
        assert told == self.model.get_redemption(request_id)

    @rule(customer=customers, page_size=st.integers(1, 3))
    def list_of_customer(self, customer: int, page_size: int) -> None:
        wanted = {"customer_id": self.customer_ids[customer]}
        told = self.wait(self.client.list_redemptions(page_size, **wanted))
        assert told == self.model.list_redemptions(**wanted)

    @rule(back=offers, page_size=st.integers(1, 3))
    def list_of_offer(self, back: int, page_size: int) -> None:
        wanted = {"offer_id": self.offer_id(back)}
        told = self.wait(self.client.list_redemptions(page_size, **wanted))
        assert told == self.model.list_redemptions(**wanted)

    @rule(back=offers, order_ref=st.sampled_from(["SO-1", "SO-2"]), page_size=st.integers(1, 3))
    def list_of_order(self, back: int, order_ref: str, page_size: int) -> None:
        wanted = {"offer_id": self.offer_id(back), "order_ref": order_ref}
        told = self.wait(self.client.list_redemptions(page_size, order=wanted))
        assert told == self.model.list_redemptions(**wanted)

    @rule(
        customer=customers,
        back=offers,
        quantity=st.integers(0, 2),
        currency=st.one_of(st.just(""), currencies),
    )
    def check_eligibility(self, customer: int, back: int, quantity: int, currency: str) -> None:
        offer_id, customer_id = self.offer_id(back), self.customer_ids[customer]
        told = self.wait(self.client.check_eligibility(offer_id, customer_id, quantity, currency))
        assert told == self.model.check_eligibility(offer_id, customer_id, currency)

    @rule(
        customer=anyone_or_customers,
        back=st.one_of(st.none(), offers),
        quantity=quantities,
        currency=currencies,
    )
    def quote(self, customer: int | None, back: int | None, quantity: int, currency: str) -> None:
        offer_id = "" if back is None else self.offer_id(back)
        asked = (offer_id, self.customer_id(customer), quantity, currency)
        assert self.wait(self.client.quote(*asked)) == self.model.quote(*asked)

    @rule(customer=anyone_or_customers, quantity=quantities, currency=currencies)
    def list_applicable_offers(self, customer: int | None, quantity: int, currency: str) -> None:
        asked = (self.customer_id(customer), quantity, currency)
        told = self.wait(self.client.list_applicable_offers(*asked))
        expected = self.model.list_applicable_offers(*asked)
        found = [
            {name: one[name] for name in wanted}
            for one, wanted in zip(told["offers"], expected["offers"], strict=False)
        ]
        assert {**told, "offers": found} == expected
        assert len(told["offers"]) == len(found)

    # The control plane.

    @rule(back=offers, status=st.sampled_from(["paused", "active", "active"]))
    def change_status(self, back: int, status: str) -> None:
        offer_id = self.offer_ids[min(back, len(self.offer_ids) - 1)]
        told = self.wait(self.client.change_status(offer_id, status))
        expected = self.model.change_status(offer_id, status)
        assert (told if isinstance(told, Error) else None) == expected

    @precondition(lambda self: len(self.offer_ids) < OFFERS_MAX)
    @rule()
    def cancel_and_open_the_next(self) -> None:
        offer_id = self.offer_ids[0]
        assert not isinstance(self.wait(self.client.change_status(offer_id, "cancelled")), Error)
        self.model.change_status(offer_id, "cancelled")
        self.open_offer()

    @rule(spare=spares)
    def limit_in_all(self, spare: int | None) -> None:
        used = len(self.model.live_rows(self.offer_ids[0]))
        limit = None if spare is None else max(1, used + spare)
        self.update("totalUsageLimit", "total_usage_limit", limit)
        self.model.edit(self.offer_ids[0], total_limit=limit)

    @rule(limit=st.sampled_from([None, 1, 1, 2]))
    def limit_by_customer(self, limit: int | None) -> None:
        self.update("perUserLimit", "per_user_limit", limit)
        self.model.edit(self.offer_ids[0], customer_limit=limit)

    @rule(percent=st.sampled_from([10, 25]))
    def change_discount(self, percent: int) -> None:
        self.update("discountValue", "discount_value", percent)
        self.model.edit(self.offer_ids[0], percent=percent)

    def update(self, mask: str, name: str, value: int | None) -> None:
        fields = {} if value is None else {name: value}
        told = self.wait(self.client.update_offer(self.offer_ids[0], mask, **fields))
        assert not isinstance(told, Error)

    @rule(scripts=st.booleans())
    def forget_in_redis(self, scripts: bool) -> None:
        self.wait(forget_all(self.redis_url, scripts=scripts))

    # What holds at any moment.

    @invariant()
    def the_offer_tells_its_version_and_uses(self) -> None:
        for offer_id in self.offer_ids:
            told = self.wait(self.client.call("GetOffer", offer_id=offer_id))
            offer = self.model.offers[offer_id]
            used = len(self.model.live_rows(offer_id))
            assert (told.version, told.status, told.usage_count) == (
                offer.version, offer.status, used
            )  # fmt: skip

    def teardown(self) -> None:
        tenant_id = self.client.tenant.tenant_id
        self.wait(assert_ledger(self.house.owner, tenant_id, self.model))

    def compare_in_some_order(self, sent: Sequence[Sent], told: Sequence[Told]) -> None:
        """Some order of the calls gives exactly these answers in the model, which then is as after
        them."""
        for order in permutations(range(len(sent))):
            model = copy.deepcopy(self.model)
            if fits(model, sent, told, order):
                self.model = model
                self.met.update(kind_of(answer) for answer, _ in told)
                return
        raise AssertionError(f"no order of\n{sent}\ngives\n{told}")


def fits(model: Model, sent: Sequence[Sent], told: Sequence[Told], order: Sequence[int]) -> bool:
    """Twins that met in one batch share an answer, so whether it is a replay is open for them."""
    request_ids = [request_id for request_id, _ in sent]
    for number in order:
        answer, was_replayed = told[number]
        now = 0 if isinstance(answer, Error) else answer["redeem_time"]
        expected, replayed = model.redeem(*sent[number], now)
        has_twin = request_ids.count(request_ids[number]) > 1
        if answer != expected or (replayed != was_replayed and not has_twin):
            return False
    return True


def kind_of(answer: dict[str, Any] | Error) -> str:
    return answer.reason if isinstance(answer, Error) else "GRANTED"


async def forget_all(redis_url: str, *, scripts: bool) -> None:
    async with redis.asyncio.from_url(redis_url) as client:
        await client.flushdb()
        if scripts:
            await client.script_flush()
