"""Redeem: use an offer once, exactly.

Guards on the cached offer, a place in the tenant's batch, Redis' hint on which road to take, and
then Postgres: the cheap confirmation of a no, or the locking function. See docs/architecture.md.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import compress

import msgspec

from guerdon.dataplane.batcher import Batcher
from guerdon.dataplane.committing import redeem_each
from guerdon.dataplane.judgement import Judgement, confirm, forget_stale, judge
from guerdon.domain.errors import Conflict, DependencyUnavailable, GuerdonError
from guerdon.domain.identifiers import CustomerId, OfferId, TenantId
from guerdon.domain.offers import OfferReference
from guerdon.domain.redemption import (
    Granted,
    PricedLine,
    RedeemCommand,
    Redemption,
    RedemptionItem,
)
from guerdon.domain.refusals import (
    Refusal,
    RefusalReason,
    Refused,
    refuse_request,
    refuse_use,
)
from guerdon.limits import ATTEMPTS_MAX, BATCH_SECONDS_MAX
from guerdon.ports import (
    Admission,
    Observation,
    OfferCatalogue,
    Probe,
    RedemptionAnswer,
    RedemptionStore,
    Road,
    StaleVersion,
)
from guerdon.telemetry import SPAN_REDEEM_BATCH, Metrics

Answer = Granted | Refusal | StaleVersion
REASONS_OF_THE_REQUEST = (RefusalReason.REQUEST_REVOKED, RefusalReason.REQUEST_ID_REUSED)


class Attempt(msgspec.Struct, frozen=True):
    """A command on its way: what was asked, and how the cached configuration judges it."""

    command: RedeemCommand
    body_hash: bytes
    judgement: Judgement


class Redeem:
    """Grants redemptions. One instance serves all tenants of the process."""

    def __init__(
        self,
        catalogue: OfferCatalogue,
        admission: Admission,
        store: RedemptionStore,
        places: asyncio.Semaphore,
        metrics: Metrics,
        now: Callable[[], datetime],
    ) -> None:
        self._catalogue = catalogue
        self._admission = admission
        self._store = store
        self._metrics = metrics
        self._now = now
        self._batcher: Batcher[Attempt, Answer] = Batcher(
            SPAN_REDEEM_BATCH, self._decide, places, metrics
        )

    async def __call__(self, command: RedeemCommand, seconds: float) -> Granted:
        """The one redemption of the command's request id, within `seconds`.

        Raises Refused with the first reason in the order of precedence, or a GuerdonError: only
        OutcomeUnknown leaves open whether the use was counted, and the same request id tells.
        """
        body_hash = command.body_hash()
        for _ in range(ATTEMPTS_MAX):
            judgement = await judge(self._catalogue, command, command.offer, self._now())
            answer = await self._batcher.submit(
                command.tenant_id,
                Attempt(command, body_hash, judgement),
                key=command.request_id,
                content=body_hash,
                seconds=seconds,
            )
            match answer:
                case Granted():
                    return answer
                case Refusal():
                    raise Refused(answer)
                case StaleVersion():
                    await forget_stale(
                        self._catalogue,
                        command.tenant_id,
                        command.offer,
                        judgement.offer,
                        judgement.product,
                    )
        raise Conflict

    async def close(self) -> None:
        """Wait until everything under way is answered."""
        await self._batcher.close()

    async def _decide(
        self, tenant_id: TenantId, attempts: Sequence[Attempt]
    ) -> Sequence[Answer | Exception]:
        """One pass over a batch: which roads, the noes confirmed, the others redeemed."""
        clock = asyncio.get_running_loop().time
        began = clock()
        priced = _prices(attempts)
        doubtful = await self._find_doubtful(tenant_id, attempts)
        answers: dict[int, Answer | Exception] = {}
        if doubtful:
            answers = await self._confirm_refusals(tenant_id, attempts, doubtful, priced)
        items = {
            number: _item(attempts[number], line)
            for number, line in priced.items()
            if number not in answers
        }
        if items:
            # A process that was frozen on the way must not count what its callers have given up.
            if clock() - began > BATCH_SECONDS_MAX:
                raise DependencyUnavailable
            answers |= await self._redeem_items(tenant_id, attempts, items)
        in_order = [answers[number] for number in range(len(attempts))]
        self._count(in_order)
        return in_order

    async def _find_doubtful(self, tenant_id: TenantId, attempts: Sequence[Attempt]) -> list[int]:
        """Numbers of the attempts that a guard refuses, or for which Redis sees no room."""
        doubtful: list[int] = []
        limited: dict[int, tuple[OfferId, CustomerId]] = {}
        for number, attempt in enumerate(attempts):
            offer = attempt.judgement.offer
            if offer is None or isinstance(attempt.judgement.decision, Refusal):
                doubtful.append(number)
            elif offer.total_limit is not None or offer.per_customer_limit is not None:
                limited[number] = (offer.offer_id, attempt.command.customer_id)
        if limited:
            roads = await self._admission.sort(tenant_id, list(limited.values()))
            unlikely = (road is not Road.LIKELY for road in roads)
            doubtful += compress(limited, unlikely)
        return doubtful

    async def _confirm_refusals(
        self,
        tenant_id: TenantId,
        attempts: Sequence[Attempt],
        doubtful: Sequence[int],
        priced: dict[int, PricedLine],
    ) -> dict[int, Answer | Exception]:
        """What one snapshot of Postgres decides of the doubtful. What it lets pass after all is
        left to the locking function, at the price that the snapshot's clock gives it."""
        probes = [_probe(attempts[number]) for number in doubtful]
        observations = await self._store.observe(tenant_id, probes, explain=False)
        answers: dict[int, Answer | Exception] = {}
        for number, observation in zip(doubtful, observations, strict=True):
            attempt = attempts[number]
            confirmed = _known(attempt, observation) or confirm(attempt.judgement, observation)
            if isinstance(confirmed, PricedLine):
                priced[number] = confirmed
            else:
                answers[number] = confirmed
        return answers

    async def _redeem_items(
        self,
        tenant_id: TenantId,
        attempts: Sequence[Attempt],
        items: Mapping[int, RedemptionItem],
    ) -> dict[int, Answer | Exception]:
        outcomes, counters = await redeem_each(self._store, tenant_id, list(items.values()))
        self._admission.record(tenant_id, counters)
        return {
            number: _answer(attempts[number], items[number], outcome)
            for number, outcome in zip(items, outcomes, strict=True)
        }

    def _count(self, answers: Sequence[Answer | Exception]) -> None:
        granted = [answer for answer in answers if isinstance(answer, Granted)]
        replayed = sum(answer.replayed for answer in granted)
        refused = Counter(answer.reason.name for answer in answers if isinstance(answer, Refusal))
        self._metrics.redemptions_decided(len(granted) - replayed, replayed, refused)


def _prices(attempts: Sequence[Attempt]) -> dict[int, PricedLine]:
    return {
        number: attempt.judgement.decision
        for number, attempt in enumerate(attempts)
        if isinstance(attempt.judgement.decision, PricedLine)
    }


def _probe(attempt: Attempt) -> Probe:
    command, judgement = attempt.command, attempt.judgement
    decision = judgement.decision
    reference = command.offer
    if judgement.offer is not None:
        reference = OfferReference(offer_id=judgement.offer.offer_id)
    return Probe(
        request_id=command.request_id,
        offer=reference,
        customer_id=command.customer_id,
        target_id=decision.target_id if isinstance(decision, PricedLine) else None,
        product_id=command.line.product_id,
        order_ref=command.order_ref,
    )


def _known(attempt: Attempt, observation: Observation) -> Granted | Refusal | None:
    """What the request id was used for already, which comes before any other reason."""
    request_id = attempt.command.request_id
    if observation.tombstoned:
        return refuse_request(RefusalReason.REQUEST_REVOKED, request_id)
    if observation.redemption is None:
        return None
    if observation.body_hash != attempt.body_hash:
        return refuse_request(RefusalReason.REQUEST_ID_REUSED, request_id)
    return Granted(observation.redemption, replayed=True)


def _item(attempt: Attempt, priced: PricedLine) -> RedemptionItem:
    offer = attempt.judgement.offer
    assert offer is not None
    return RedemptionItem(attempt.command, attempt.body_hash, offer.offer_id, offer.version, priced)


def _answer(
    attempt: Attempt, item: RedemptionItem, outcome: RedemptionAnswer | GuerdonError
) -> Answer | Exception:
    if isinstance(outcome, GuerdonError):
        return outcome
    match outcome.outcome:
        case Redemption() as redemption:
            return Granted(redemption, outcome.replayed)
        case StaleVersion() as stale:
            return stale
        case reason:
            return _refuse(attempt, item, reason)


def _refuse(attempt: Attempt, item: RedemptionItem, reason: RefusalReason) -> Refusal:
    """The locking function judged by the version that the attempt knows, so that tells the rest."""
    offer = attempt.judgement.offer
    if offer is None or reason in REASONS_OF_THE_REQUEST:
        return refuse_request(reason, item.command.request_id)
    return refuse_use(
        reason,
        offer,
        product_id=item.command.line.product_id,
        product_limit=item.priced.target_max_uses,
    )
