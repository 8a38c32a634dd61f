"""OfferService: each RPC is one call of its file in the data plane."""

from dataclasses import dataclass

from guerdon.api.offers.v1 import offer_service_pb2 as service_pb2
from guerdon.api.offers.v1 import pricing_pb2, redemption_pb2
from guerdon.dataplane.check_eligibility import CheckEligibility, EligibilityQuestion
from guerdon.dataplane.get_redemption import GetRedemption
from guerdon.dataplane.list_applicable_offers import ListApplicableOffers
from guerdon.dataplane.list_redemptions import ListRedemptions, RedemptionFilter
from guerdon.dataplane.quote import Quote, QuoteQuestion
from guerdon.dataplane.redeem import Redeem
from guerdon.dataplane.redeem_batch import RedeemBatch
from guerdon.dataplane.revoke import Revoke
from guerdon.domain.errors import FieldsInvalid
from guerdon.domain.guards import StockNotice
from guerdon.domain.identifiers import CustomerId, OfferId, RequestId
from guerdon.domain.offers import Offer
from guerdon.domain.redemption import Granted, Purchase, RedeemCommand
from guerdon.limits import APPLICABLE_OFFERS_DEFAULT, PAGE_ROWS_DEFAULT
from guerdon.transport.applicable_messages import write_applicable_offer
from guerdon.transport.call import Call
from guerdon.transport.offer_messages import (
    SERVICE_TYPES,
    fill_priced_line,
    fill_redemption,
    read_command,
    read_line,
    read_named_offer,
    write_present_redemption,
    write_refusal,
    write_revocation,
    write_rule_result,
)
from guerdon.transport.reporting import report_error
from guerdon.transport.validation import find_violations
from guerdon.transport.values import read_optional_uuid, read_uuid, write_time, write_uuid

SERVICE = service_pb2.DESCRIPTOR.services_by_name["OfferService"]
BATCH_LABEL = "OfferService/RedeemBatch"
NOTICES = {
    StockNotice.LOW_STOCK: pricing_pb2.Notice(
        type=pricing_pb2.NOTICE_TYPE_LOW_STOCK, message="The product's stock is low."
    ),
    StockNotice.OUT_OF_STOCK: pricing_pb2.Notice(
        type=pricing_pb2.NOTICE_TYPE_OUT_OF_STOCK, message="The product's stock does not suffice."
    ),
}


@dataclass(frozen=True, kw_only=True)
class DataPlane:
    """What the servicer calls: one object an RPC."""

    check_eligibility: CheckEligibility
    quote: Quote
    redeem: Redeem
    redeem_batch: RedeemBatch
    revoke: Revoke
    get_redemption: GetRedemption
    list_redemptions: ListRedemptions
    list_applicable_offers: ListApplicableOffers


class OfferServicer:
    """Answers OfferService. Messages have passed the pipeline."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    async def check_eligibility(
        self, message: service_pb2.CheckEligibilityRequest, call: Call
    ) -> service_pb2.CheckEligibilityResponse:
        question = EligibilityQuestion(
            tenant_id=call.tenant_id,
            offer=read_named_offer(message),
            customer_id=CustomerId(read_uuid(message.customer_id)),
            line=read_line(message.line) if message.HasField("line") else None,
            currency=message.currency or None,
            service_type=SERVICE_TYPES[message.service_type],
        )
        report = await self._plane.check_eligibility(question, call.seconds)
        return service_pb2.CheckEligibilityResponse(
            eligible=not report.refusals,
            refusals=map(write_refusal, report.refusals),
            rule_results=map(write_rule_result, report.rule_results),
            eligibility_logic=report.eligibility_logic.value,
            offer_id=write_uuid(report.offer_id),
            offer_version=report.offer_version,
            evaluated_time=write_time(report.evaluated_at),
        )

    async def quote(
        self, message: service_pb2.QuoteRequest, call: Call
    ) -> service_pb2.QuoteResponse:
        customer_id = read_optional_uuid(message.customer_id)
        question = QuoteQuestion(
            _read_purchase(message, call),
            None if customer_id is None else CustomerId(customer_id),
            read_named_offer(message) if message.WhichOneof("offer") else None,
        )
        report = await self._plane.quote(question, call.seconds)
        response = service_pb2.QuoteResponse(
            currency=message.currency,
            applied_offer=_write_applied(report.offer),
            notices=[NOTICES[notice] for notice in report.notices],
            refusals=map(write_refusal, report.refusals),
            evaluated_time=write_time(report.evaluated_at),
        )
        fill_priced_line(response.line, question.purchase.line, report.price)
        return response

    async def redeem(
        self, message: service_pb2.RedeemRequest, call: Call
    ) -> service_pb2.RedeemResponse:
        granted = await self._plane.redeem(read_command(call.tenant_id, message), call.seconds)
        call.replayed = granted.replayed
        response = service_pb2.RedeemResponse()
        fill_redemption(response.redemption, granted.redemption)
        return response

    async def redeem_batch(
        self, message: service_pb2.RedeemBatchRequest, call: Call
    ) -> service_pb2.RedeemBatchResponse:
        """An item whose fields are wrong fails alone, so items are validated one by one."""
        items = [_read_item(request, call) for request in message.requests]
        commands = [item for item in items if isinstance(item, RedeemCommand)]
        outcomes = iter(await self._plane.redeem_batch(commands, call.seconds))
        results = (
            _write_result(next(outcomes) if isinstance(item, RedeemCommand) else item, call)
            for item in items
        )
        return service_pb2.RedeemBatchResponse(results=results)

    async def revoke(
        self, message: service_pb2.RevokeRequest, call: Call
    ) -> service_pb2.RevokeResponse:
        request_id = RequestId(read_uuid(message.request_id))
        return write_revocation(
            await self._plane.revoke(call.tenant_id, request_id, message.reason)
        )

    async def get_redemption(
        self, message: service_pb2.GetRedemptionRequest, call: Call
    ) -> redemption_pb2.Redemption:
        request_id = RequestId(read_uuid(message.request_id))
        return write_present_redemption(
            await self._plane.get_redemption(call.tenant_id, request_id)
        )

    async def list_redemptions(
        self, message: service_pb2.ListRedemptionsRequest, call: Call
    ) -> service_pb2.ListRedemptionsResponse:
        page = await self._plane.list_redemptions(
            call.tenant_id,
            _read_filter(message),
            message.page_size or PAGE_ROWS_DEFAULT,
            message.page_token,
        )
        return service_pb2.ListRedemptionsResponse(
            redemptions=map(write_present_redemption, page.redemptions),
            next_page_token=page.next_page_token,
        )

    async def list_applicable_offers(
        self, message: service_pb2.ListApplicableOffersRequest, call: Call
    ) -> service_pb2.ListApplicableOffersResponse:
        customer_id = read_optional_uuid(message.customer_id)
        report = await self._plane.list_applicable_offers(
            _read_purchase(message, call),
            None if customer_id is None else CustomerId(customer_id),
            message.page_size or APPLICABLE_OFFERS_DEFAULT,
        )
        return service_pb2.ListApplicableOffersResponse(
            offers=[
                write_applicable_offer(candidate, message.locale, report.default_locale)
                for candidate in report.candidates
            ],
            currency=message.currency,
            eligibility_evaluated=report.evaluated,
            evaluated_time=write_time(report.evaluated_at),
        )


def _read_purchase(
    message: service_pb2.QuoteRequest | service_pb2.ListApplicableOffersRequest, call: Call
) -> Purchase:
    return Purchase(
        tenant_id=call.tenant_id,
        line=read_line(message.line),
        currency=message.currency,
        service_type=SERVICE_TYPES[message.service_type],
    )


def _write_applied(offer: Offer | None) -> pricing_pb2.AppliedOffer | None:
    if offer is None:
        return None
    return pricing_pb2.AppliedOffer(
        offer_id=write_uuid(offer.offer_id), code=offer.code or "", offer_version=offer.version
    )


def _read_item(message: service_pb2.RedeemRequest, call: Call) -> RedeemCommand | FieldsInvalid:
    if violations := find_violations(message):
        return FieldsInvalid(violations)
    return read_command(call.tenant_id, message)


def _write_result(outcome: Granted | BaseException, call: Call) -> service_pb2.RedeemBatchResult:
    if isinstance(outcome, Granted):
        result = service_pb2.RedeemBatchResult(replayed=outcome.replayed)
        fill_redemption(result.redemption, outcome.redemption)
        return result
    result = service_pb2.RedeemBatchResult()
    answer = report_error(outcome, BATCH_LABEL, call, call.pushback.tell)
    result.status.ParseFromString(answer.status)
    return result


def _read_filter(message: service_pb2.ListRedemptionsRequest) -> RedemptionFilter:
    match message.WhichOneof("filter"):
        case "customer_id":
            return RedemptionFilter(customer_id=CustomerId(read_uuid(message.customer_id)))
        case "offer_id":
            return RedemptionFilter(offer_id=OfferId(read_uuid(message.offer_id)))
        case _:
            order = message.order
            return RedemptionFilter(
                offer_id=OfferId(read_uuid(order.offer_id)), order_ref=order.order_ref
            )
