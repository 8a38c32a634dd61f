"""Admins who edit offers all the time: limits raised and lowered, pauses, new words.

Each edit is noted with when it was sent and answered and with the version that an OK named, since
what is redeemed afterwards must be redeemed by that version or a later one.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from guerdon.api.admin.v1 import offer_admin_service_pb2 as messages
from guerdon.api.admin.v1.offer_admin_service_pb2_grpc import OfferAdminServiceStub
from guerdon.api.admin.v1.offer_pb2 import Offer
from loadtests.faults.calls import OPTIONS
from loadtests.faults.wares import Ware
from loadtests.history import NUMBERS, OK, Edit

# Seconds between two edits, and in which an offer is paused.
EDIT_SECONDS = (0.3, 1.5)
PAUSED_SECONDS = (0.1, 0.8)
# Seconds of one call, and tries of what must be done: a minute of pauses between them.
CALL_SECONDS = 4.0
TRIES_MAX = 120
RETRY_SECONDS = 0.5
# By how much a total limit, a product's and a customer's move.
TOTAL_STEP = (10, 60)
PRODUCT_STEP = (3, 15)
EACH_LIMITS = (1, 4)


class Admins:
    """Edits offers through any of the servers. `edits` is everything that was tried, in order."""

    def __init__(
        self, addresses: Sequence[str], api_keys: Mapping[UUID, str], wares: Sequence[Ware]
    ) -> None:
        self._channels = [
            grpc.aio.insecure_channel(address, options=OPTIONS) for address in addresses
        ]
        self._keys = api_keys
        self._wares = wares
        self._turn = 0
        self.edits: list[Edit] = []

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()

    async def work(self, chance: random.Random) -> None:
        """One random edit after the other, until cancelled. A pause is resumed before the next,
        unless no server is up for so long that `finish` has to."""
        edits: list[tuple[int, Callable[[Ware, random.Random], Awaitable[None]]]] = [
            (5, self._raise_total),
            (3, self._lower_total),
            (3, self._pause_and_resume),
            (2, self._change_products),
            (2, self._change_each),
            (1, self._change_words),
        ]
        weights = [weight for weight, _ in edits]
        while True:
            await asyncio.sleep(chance.uniform(*EDIT_SECONDS))
            _, edit = chance.choices(edits, weights)[0]
            with contextlib.suppress(TimeoutError):
                await edit(chance.choice(self._wares), chance)

    async def finish(self, ware: Ware) -> Offer:
        """The last edit: active, and no limit below what is used, so that each can be reached.
        Returns the offer as it stays."""
        await self._until_done(ware, "resume", lambda: self._change_status(ware, "active"))
        offer = await self.read(ware)
        wanted, mask = Offer(offer_id=offer.offer_id), []
        limited = [product for product in offer.products if product.HasField("max_uses")]
        for product in limited:
            product.max_uses = max(product.max_uses, product.usage_count)
        if limited:
            wanted.products.extend(offer.products)
            mask.append("products")
        if offer.HasField("total_usage_limit"):
            room = sum(product.max_uses - product.usage_count for product in limited)
            least = offer.usage_count + room + TOTAL_STEP[0]
            wanted.total_usage_limit = max(offer.total_usage_limit, least)
            mask.append("total_usage_limit")
        if mask:
            await self._until_done(ware, "finish", lambda: self._update(ware, wanted, mask))
        return await self.read(ware)

    async def read(self, ware: Ware) -> Offer:
        """The offer as it is now."""
        request = messages.GetOfferRequest(offer_id=str(ware.offer_id))
        for _ in range(TRIES_MAX):
            try:
                found: Offer = await self._call(ware, "GetOffer", request)
                return found
            except grpc.aio.AioRpcError:
                await asyncio.sleep(RETRY_SECONDS)
        raise TimeoutError(f"offer {ware.offer_id} cannot be read: is every server down?")

    async def _raise_total(self, ware: Ware, chance: random.Random) -> None:
        if ware.total is not None:
            await self._move_total(ware, "raise total", chance.randint(*TOTAL_STEP))

    async def _lower_total(self, ware: Ware, chance: random.Random) -> None:
        if ware.total is not None:
            await self._move_total(ware, "lower total", -chance.randint(*TOTAL_STEP))

    async def _move_total(self, ware: Ware, what: str, step: int) -> None:
        offer = await self.read(ware)
        limit = max(1, offer.total_usage_limit + step)
        wanted = Offer(offer_id=offer.offer_id, total_usage_limit=limit)
        await self._update(ware, wanted, ["total_usage_limit"], what)

    async def _pause_and_resume(self, ware: Ware, chance: random.Random) -> None:
        await self._change_status(ware, "paused")
        await asyncio.sleep(chance.uniform(*PAUSED_SECONDS))
        await self._until_done(ware, "resume", lambda: self._change_status(ware, "active"))

    async def _change_products(self, ware: Ware, chance: random.Random) -> None:
        if not any(ware.products.values()):
            return
        offer = await self.read(ware)
        limited = [product for product in offer.products if product.HasField("max_uses")]
        product = chance.choice(limited)
        step = chance.randint(*PRODUCT_STEP)
        product.max_uses = max(1, product.max_uses + chance.choice((-step, step)))
        wanted = Offer(offer_id=offer.offer_id, products=offer.products)
        await self._update(ware, wanted, ["products"], "product limit")

    async def _change_each(self, ware: Ware, chance: random.Random) -> None:
        if ware.each is not None:
            wanted = Offer(offer_id=str(ware.offer_id), per_user_limit=chance.randint(*EACH_LIMITS))
            await self._update(ware, wanted, ["per_user_limit"], "customer limit")

    async def _change_words(self, ware: Ware, chance: random.Random) -> None:
        wanted = Offer(offer_id=str(ware.offer_id), description=f"text {chance.random()}")
        await self._update(ware, wanted, ["description"], "words")

    async def _until_done(
        self, ware: Ware, what: str, change: Callable[[], Awaitable[Edit]]
    ) -> None:
        for _ in range(TRIES_MAX):
            if (await change()).code == OK:
                return
            # A lost answer may have been a yes: a resume of what is active is refused.
            if what == "resume" and (await self.read(ware)).status == "active":
                return
            await asyncio.sleep(RETRY_SECONDS)
        raise TimeoutError(f"offer {ware.offer_id}: {what} is not done after {TRIES_MAX} tries")

    async def _change_status(self, ware: Ware, status: str) -> Edit:
        request = messages.ChangeOfferStatusRequest(offer_id=str(ware.offer_id), status=status)
        return await self._noted(ware, f"to {status}", "ChangeOfferStatus", request)

    async def _update(
        self, ware: Ware, offer: Offer, mask: list[str], what: str = "finish"
    ) -> Edit:
        request = messages.UpdateOfferRequest(offer=offer, update_mask=FieldMask(paths=mask))
        return await self._noted(ware, what, "UpdateOffer", request)

    async def _noted(self, ware: Ware, what: str, call: str, request: Any) -> Edit:
        sent_at, version = time.monotonic(), 0
        try:
            answer = await self._call(ware, call, request)
            version = answer.version if isinstance(answer, Offer) else answer.offer.version
            code = OK
        except grpc.aio.AioRpcError as error:
            code = NUMBERS[error.code()]
        edit = Edit(ware.offer_id, what, sent_at, time.monotonic(), code, version)
        self.edits.append(edit)
        return edit

    async def _call(self, ware: Ware, name: str, request: Any) -> Any:
        """One try, at the next server."""
        self._turn += 1
        stub = OfferAdminServiceStub(self._channels[self._turn % len(self._channels)])
        metadata = (("authorization", f"Bearer {self._keys[ware.tenant_id]}"),)
        return await getattr(stub, name)(request, timeout=CALL_SECONDS, metadata=metadata)
