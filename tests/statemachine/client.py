"""A tenant's calls, answered as the model writes answers."""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc

from tests.grpc.gate import read_failure
from tests.grpc.house import Tenant
from tests.statemachine.answers import error_of, evaluated, plain, result_of
from tests.statemachine.model import UNIT_PRICE_MINOR, Body, Error, Offer

# A request id and what is sent with it.
Sent = tuple[str, Body]
# The redemption or the refusal, and whether it was granted before.
Told = tuple[dict[str, Any] | Error, bool]


class Client:
    """Sends as one tenant. `codes` holds the code of each offer that was created."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self.codes: dict[str, str] = {}

    async def call(self, method: str, **fields: Any) -> Any:
        """The response, or the Error."""
        answer, _ = await self.call_with_trailers(method, **fields)
        return answer

    async def call_with_trailers(self, method: str, **fields: Any) -> tuple[Any, dict[str, Any]]:
        try:
            return await self.tenant.call_with_trailers(method, **fields)
        except grpc.aio.AioRpcError as error:
            return error_of(read_failure(error)), {}

    async def create_offer(self, code: str) -> Offer:
        offer_id = await self.tenant.new_offer(code=code, auto_apply=True)
        self.codes[offer_id] = code
        return Offer(offer_id, code)

    async def change_status(self, offer_id: str, status: str) -> Any:
        return await self.call("ChangeOfferStatus", offer_id=offer_id, status=status)

    async def update_offer(self, offer_id: str, mask: str, **fields: Any) -> Any:
        offer = {"offer_id": offer_id, **fields}
        return await self.call("UpdateOffer", offer=offer, update_mask=mask)

    async def redeem(self, sent: Sent) -> Told:
        answer, trailers = await self.call_with_trailers("Redeem", **self.redeem_fields(sent))
        if isinstance(answer, Error):
            return answer, False
        return plain(answer.redemption), trailers.get("guerdon-replayed") == "true"

    async def redeem_at_once(self, all_sent: Sequence[Sent]) -> list[Told]:
        return list(await asyncio.gather(*map(self.redeem, all_sent)))

    async def redeem_batch(self, all_sent: Sequence[Sent]) -> list[Told]:
        items = [self.redeem_fields(sent) for sent in all_sent]
        answer = await self.call("RedeemBatch", requests=items)
        return [(result_of(result), result.replayed) for result in answer.results]

    def redeem_fields(self, sent: Sent) -> dict[str, Any]:
        request_id, body = sent
        fields: dict[str, Any] = {
            "request_id": request_id,
            "customer_id": body.customer_id,
            "line": line(body.quantity),
            "currency": body.currency,
            "order_ref": body.order_ref,
        }
        if body.expected_paid_minor is not None:
            fields["expected_paid_minor"] = body.expected_paid_minor
        if body.by_code:
            return {**fields, "code": self.codes[body.offer_id]}
        return {**fields, "offer_id": body.offer_id}

    async def revoke(self, request_id: str, reason: str) -> Any:
        return plain(await self.call("Revoke", request_id=request_id, reason=reason))

    async def get_redemption(self, request_id: str) -> Any:
        answer = await self.call("GetRedemption", request_id=request_id)
        return answer if isinstance(answer, Error) else plain(answer)

    async def list_redemptions(self, page_size: int, **wanted: Any) -> list[Any]:
        """All pages, each but the last of the asked size."""
        listed: list[Any] = []
        token = ""
        while True:
            page = await self.call(
                "ListRedemptions", page_size=page_size, page_token=token, **wanted
            )
            listed += map(plain, page.redemptions)
            token = page.next_page_token
            if not token:
                return listed
            assert len(page.redemptions) == page_size

    async def check_eligibility(
        self, offer_id: str, customer_id: str, quantity: int, currency: str
    ) -> Any:
        """Without pieces no line is asked about."""
        asked = {"line": line(quantity)} if quantity else {}
        answer = await self.call(
            "CheckEligibility",
            offer_id=offer_id, customer_id=customer_id, currency=currency, **asked,
        )  # fmt: skip
        return answer if isinstance(answer, Error) else evaluated(answer)

    async def quote(self, offer_id: str, customer_id: str, quantity: int, currency: str) -> Any:
        named = {"offer_id": offer_id} if offer_id else {}
        answer = await self.call(
            "Quote", customer_id=customer_id, line=line(quantity), currency=currency, **named
        )
        return answer if isinstance(answer, Error) else evaluated(answer)

    async def list_applicable_offers(self, customer_id: str, quantity: int, currency: str) -> Any:
        answer = await self.call(
            "ListApplicableOffers", customer_id=customer_id, line=line(quantity), currency=currency
        )
        return evaluated(answer)


def line(quantity: int) -> dict[str, Any]:
    return {"quantity": quantity, "unit_price_minor": UNIT_PRICE_MINOR}
