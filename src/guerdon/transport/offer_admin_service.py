"""OfferAdminService: offers as their owners write and see them."""

from guerdon.api.admin.v1 import offer_admin_service_pb2 as service_pb2
from guerdon.api.admin.v1 import offer_pb2
from guerdon.controlplane.offers import Offers, OfferView
from guerdon.domain.identifiers import OfferId
from guerdon.domain.offers import OfferStatus
from guerdon.limits import PAGE_ROWS_DEFAULT
from guerdon.transport.admin_offer_messages import find_set_fields, read_offer, write_offer
from guerdon.transport.call import Call
from guerdon.transport.values import read_optional_uuid, read_uuid, write_time, write_uuid

SERVICE = service_pb2.DESCRIPTOR.services_by_name["OfferAdminService"]


class OfferAdminServicer:
    """Answers OfferAdminService. Messages have passed the pipeline."""

    def __init__(self, offers: Offers) -> None:
        self._offers = offers

    async def create_offer(
        self, message: service_pb2.CreateOfferRequest, call: Call
    ) -> offer_pb2.Offer:
        offer_id = read_optional_uuid(message.offer_id)
        view = await self._offers.create(
            call.tenant_id,
            read_offer(message.offer),
            call.caller.key_id,
            None if offer_id is None else OfferId(offer_id),
        )
        return write_view(view)

    async def get_offer(self, message: service_pb2.GetOfferRequest, call: Call) -> offer_pb2.Offer:
        offer_id = OfferId(read_uuid(message.offer_id))
        return write_view(await self._offers.get(call.tenant_id, offer_id))

    async def list_offers(
        self, message: service_pb2.ListOffersRequest, call: Call
    ) -> service_pb2.ListOffersResponse:
        page = await self._offers.list_page(
            call.tenant_id,
            OfferStatus(message.status) if message.status else None,
            message.page_size or PAGE_ROWS_DEFAULT,
            message.page_token,
        )
        return service_pb2.ListOffersResponse(
            offers=map(write_view, page.offers), next_page_token=page.next_page_token
        )

    async def update_offer(
        self, message: service_pb2.UpdateOfferRequest, call: Call
    ) -> offer_pb2.Offer:
        offer = message.offer
        view = await self._offers.update(
            call.tenant_id,
            OfferId(read_uuid(offer.offer_id)),
            read_offer(offer),
            tuple(message.update_mask.paths) or find_set_fields(offer),
            offer.etag,
            call.caller.key_id,
        )
        return write_view(view)

    async def change_offer_status(
        self, message: service_pb2.ChangeOfferStatusRequest, call: Call
    ) -> service_pb2.ChangeOfferStatusResponse:
        view = await self._offers.change_status(
            call.tenant_id,
            OfferId(read_uuid(message.offer_id)),
            OfferStatus(message.status),
            message.etag,
            call.caller.key_id,
        )
        return service_pb2.ChangeOfferStatusResponse(offer=write_view(view))


def write_view(view: OfferView) -> offer_pb2.Offer:
    """The offer as written, with what the system adds."""
    record = view.record
    message = write_offer(view.written)
    message.offer_id = write_uuid(view.offer_id)
    message.version = view.version
    message.etag = view.etag
    message.usage_count = record.used
    message.created_by = record.created_by
    message.created_at.CopyFrom(write_time(record.created_at))
    message.updated_at.CopyFrom(write_time(record.updated_at))
    for product, target in zip(message.products, record.draft.offer.targets, strict=True):
        product.usage_count = record.targets_used.get(target.target_id, 0)
    return message
