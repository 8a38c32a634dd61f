"""The data plane's messages to and from the domain."""

from collections.abc import Mapping
from typing import Protocol

from guerdon.api.offers.v1 import (
    eligibility_pb2,
    error_reason_pb2,
    pricing_pb2,
    redemption_pb2,
)
from guerdon.api.offers.v1 import offer_service_pb2 as service_pb2
from guerdon.domain.identifiers import CustomerId, OfferId, ProductId, RequestId, TenantId
from guerdon.domain.offers import OfferReference, ServiceType, normalise_code
from guerdon.domain.redemption import (
    Line,
    Price,
    RedeemCommand,
    Redemption,
    Revocation,
    RevokeOutcome,
)
from guerdon.domain.refusals import Refusal
from guerdon.ports import RuleResult
from guerdon.transport.errors import sentence_of
from guerdon.transport.values import (
    fill_time,
    read_uuid,
    write_optional_uuid,
    write_time,
    write_uuid,
)

SERVICE_TYPES = {
    # Not said: offers for either kind apply.
    pricing_pb2.SERVICE_TYPE_UNSPECIFIED: ServiceType.BOTH,
    pricing_pb2.SERVICE_TYPE_DELIVERY: ServiceType.DELIVERY,
    pricing_pb2.SERVICE_TYPE_PICKUP: ServiceType.PICKUP,
}
OUTCOMES = {
    RevokeOutcome.REVOKED: redemption_pb2.REVOKE_OUTCOME_REVOKED,
    RevokeOutcome.ALREADY_REVOKED: redemption_pb2.REVOKE_OUTCOME_ALREADY_REVOKED,
    RevokeOutcome.TOMBSTONED: redemption_pb2.REVOKE_OUTCOME_TOMBSTONED,
}
REASON_PREFIX = "ERROR_REASON_"


class NamesOffer(Protocol):
    """A request with the oneof `offer`."""

    @property
    def offer_id(self) -> str: ...

    @property
    def code(self) -> str: ...


def read_command(tenant_id: TenantId, message: service_pb2.RedeemRequest) -> RedeemCommand:
    """The intent of a Redeem, or of one item of a batch."""
    expected = message.expected_paid_minor if message.HasField("expected_paid_minor") else None
    return RedeemCommand(
        tenant_id=tenant_id,
        request_id=RequestId(read_uuid(message.request_id)),
        offer=read_named_offer(message),
        customer_id=CustomerId(read_uuid(message.customer_id)),
        line=read_line(message.line),
        currency=message.currency,
        order_ref=message.order_ref or None,
        service_type=SERVICE_TYPES[message.service_type],
        expected_paid_minor=expected,
    )


def read_named_offer(message: NamesOffer) -> OfferReference:
    """The offer of a request whose oneof is set."""
    if message.offer_id:
        return OfferReference(offer_id=OfferId(read_uuid(message.offer_id)))
    return OfferReference(code=normalise_code(message.code))


def read_line(message: pricing_pb2.Line) -> Line:
    """What is bought."""
    product_id = ProductId(read_uuid(message.product_id)) if message.product_id else None
    return Line(product_id, message.quantity, message.unit_price_minor)


def fill_redemption(message: redemption_pb2.Redemption, redemption: Redemption) -> None:
    """What was granted, and no more: the same for ever.

    Messages that are filled where they stand take half the time of those that are made and copied.
    """
    message.request_id = write_uuid(redemption.request_id)
    message.position = redemption.position
    message.offer_id = write_uuid(redemption.offer_id)
    message.offer_version = redemption.offer_version
    message.customer_id = write_uuid(redemption.customer_id)
    fill_priced_line(message.line, redemption.line, redemption.price)
    message.currency = redemption.currency
    message.order_ref = redemption.order_ref or ""
    message.slot = redemption.slot
    message.sequence = redemption.sequence
    message.customer_use = redemption.customer_use
    fill_time(message.redeem_time, redemption.redeemed_at)


def write_present_redemption(redemption: Redemption) -> redemption_pb2.Redemption:
    """What was granted, and whether it still counts."""
    message = redemption_pb2.Redemption()
    fill_redemption(message, redemption)
    if redemption.revoked_at is None:
        message.state = redemption_pb2.REDEMPTION_STATE_REDEEMED
        return message
    message.state = redemption_pb2.REDEMPTION_STATE_REVOKED
    fill_time(message.revoke_time, redemption.revoked_at)
    message.revoke_reason = redemption.revoke_reason or ""
    return message


def fill_priced_line(message: pricing_pb2.PricedLine, line: Line, price: Price) -> None:
    """A line with its price."""
    message.product_id = write_optional_uuid(line.product_id)
    message.quantity = line.quantity
    message.unit_price_minor = line.unit_price_minor
    message.list_minor = price.list_minor
    message.discount_minor = price.discount_minor
    message.paid_minor = price.paid_minor


def write_revocation(revocation: Revocation) -> service_pb2.RevokeResponse:
    """What a revoke found and did."""
    redemption = revocation.redemption
    return service_pb2.RevokeResponse(
        request_id=write_uuid(revocation.request_id),
        outcome=OUTCOMES[revocation.outcome],
        revoke_time=write_time(revocation.revoked_at),
        redemption=None if redemption is None else write_present_redemption(redemption),
    )


def write_refusal(refusal: Refusal) -> eligibility_pb2.Refusal:
    """A refusal as data, in the words that the error of the same reason has."""
    return eligibility_pb2.Refusal(
        reason=error_reason_pb2.ErrorReason.Value(REASON_PREFIX + refusal.reason.name),
        message=sentence_of(refusal.reason.name),
        metadata=write_variables(refusal.details),
    )


def write_rule_result(result: RuleResult) -> eligibility_pb2.RuleResult:
    """How one rule judged; what is not known stays absent."""
    return eligibility_pb2.RuleResult(
        rule_key=result.rule_key,
        rule_type=result.rule_type,
        passed=result.passed,
        actual=result.actual,
        required=result.required,
        unit=result.unit,
        problem=result.problem or "",
    )


def write_variables(variables: Mapping[str, str | int]) -> dict[str, str]:
    """Variables of a message as text."""
    return {name: str(value) for name, value in variables.items()}
