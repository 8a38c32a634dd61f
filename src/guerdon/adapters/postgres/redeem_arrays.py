"""A batch as redeem_v1 takes it and answers it: parallel arrays, with what items share sent once
and numbered from 1."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from guerdon.domain.identifiers import CustomerId, OfferId, TenantId
from guerdon.domain.redemption import Redemption, RedemptionItem
from guerdon.domain.refusals import RefusalReason
from guerdon.ports import Counters, RedemptionAnswer, StaleVersion

GRANTED = 0
REPLAYED = 1
STALE = 2


class RedeemArrays:
    """The arguments of one call of redeem_v1, and how to read its answer back."""

    def __init__(self, tenant_id: TenantId, items: Sequence[RedemptionItem]) -> None:
        self.tenant_id = tenant_id
        self.items = items
        offers: dict[UUID, int] = {}
        pairs: dict[tuple[UUID, UUID], int] = {}
        targets: dict[tuple[UUID, UUID], int] = {}
        target_limits: list[int | None] = []
        orders: dict[tuple[UUID, str], int] = {}
        self.offer_of: list[int] = []
        self.pair_of: list[int] = []
        self.target_of: list[int | None] = []
        self.order_of: list[int | None] = []
        for item in items:
            offer, command, priced = item.offer_id, item.command, item.priced
            self.offer_of.append(offers.setdefault(offer, len(offers) + 1))
            pair = (offer, command.customer_id)
            self.pair_of.append(pairs.setdefault(pair, len(pairs) + 1))
            self.target_of.append(None)
            if priced.target_id is not None:
                number = targets.setdefault((offer, priced.target_id), len(targets) + 1)
                if number > len(target_limits):
                    target_limits.append(priced.target_max_uses)
                self.target_of[-1] = number
            self.order_of.append(
                None
                if command.order_ref is None
                else orders.setdefault((offer, command.order_ref), len(orders) + 1)
            )
        self.offers = list(offers)
        self.pairs = list(pairs)
        self.targets = list(targets)
        self.target_limits = target_limits
        self.orders = list(orders)

    def arguments(self) -> list[Any]:
        """In the order of redeem_v1's parameters."""
        items = self.items
        commands = [item.command for item in items]
        lines = [command.line for command in commands]
        return [
            self.tenant_id,
            self.offers,
            [offer for offer, _ in self.pairs],
            [customer for _, customer in self.pairs],
            [offer for offer, _ in self.targets],
            [target for _, target in self.targets],
            self.target_limits,
            [offer for offer, _ in self.orders],
            [order for _, order in self.orders],
            [command.request_id for command in commands],
            [item.body_hash for item in items],
            self.offer_of,
            self.pair_of,
            self.target_of,
            self.order_of,
            [item.offer_version for item in items],
            [line.product_id for line in lines],
            [item.priced.product_facts_version for item in items],
            [line.quantity for line in lines],
            [line.unit_price_minor for line in lines],
            [item.priced.price.discount_minor for item in items],
            [command.currency for command in commands],
        ]

    def answers(
        self, row: Mapping[str, Any], replayed: Mapping[UUID, Redemption]
    ) -> tuple[RedemptionAnswer, ...]:
        """One answer an item. `replayed` holds the redemptions of the items that were granted
        before."""
        return tuple(
            self._answer(row, number, outcome, replayed)
            for number, outcome in enumerate(row["o_outcomes"])
        )

    def _answer(
        self,
        row: Mapping[str, Any],
        number: int,
        outcome: int,
        replayed: Mapping[UUID, Redemption],
    ) -> RedemptionAnswer:
        item = self.items[number]
        if outcome == GRANTED:
            return RedemptionAnswer(self._redemption(row, number))
        if outcome == REPLAYED:
            return RedemptionAnswer(replayed[item.command.request_id], replayed=True)
        offer = self.offer_of[number] - 1
        if outcome == STALE:
            facts = row["o_facts"]
            return RedemptionAnswer(
                StaleVersion(row["o_versions"][offer], facts[number] if facts else None)
            )
        return RedemptionAnswer(RefusalReason(outcome))

    def _redemption(self, row: Mapping[str, Any], number: int) -> Redemption:
        item = self.items[number]
        command = item.command
        return Redemption(
            request_id=command.request_id,
            position=0,
            offer_id=item.offer_id,
            offer_version=item.offer_version,
            slot=0,
            sequence=row["o_sequences"][number],
            customer_id=command.customer_id,
            customer_use=row["o_customer_uses"][number],
            line=command.line,
            price=item.priced.price,
            currency=command.currency,
            order_ref=command.order_ref,
            redeemed_at=row["o_now"],
        )

    def counters(self, row: Mapping[str, Any]) -> tuple[Counters, ...]:
        """The committed counters of the batch's offers; offers that are not there are left out."""
        customers: list[dict[CustomerId, int]] = [{} for _ in self.offers]
        numbers = {offer: number for number, offer in enumerate(self.offers)}
        for (offer, customer), used in zip(self.pairs, row["o_pair_used"], strict=True):
            customers[numbers[offer]][CustomerId(customer)] = used
        return tuple(
            Counters(
                offer_id=OfferId(offer),
                version=version,
                sequence=row["o_last_sequences"][number],
                used=row["o_used"][number],
                total_limit=row["o_total_limits"][number],
                per_customer_limit=row["o_customer_limits"][number],
                customers_used=customers[number],
            )
            for number, (offer, version) in enumerate(
                zip(self.offers, row["o_versions"], strict=True)
            )
            if version is not None
        )
