"""What each row of the benchmark sends, and where to."""

from collections.abc import Sequence
from uuid import UUID

import grpc
from google.protobuf.message import Message

from guerdon.api.offers.v1.offer_service_pb2 import (
    CheckEligibilityRequest,
    CheckEligibilityResponse,
    QuoteRequest,
    QuoteResponse,
    RedeemRequest,
)
from guerdon.api.offers.v1.pricing_pb2 import Line
from loadtests.admin import CALL_SECONDS_MAX, CURRENCY
from loadtests.bench.fill import UNIT_PRICE_MINOR
from loadtests.bench.orders import CUSTOMER_ID, OFFER_ID, REQUEST_ID, Target, template_of
from loadtests.bench.rivals.methods import (
    CHECK_ELIGIBILITY,
    ECHO,
    ONE_CALL,
    QUOTE,
    REDEEM,
    REDEEM_BATCH,
    TEXTBOOK,
)
from loadtests.bench.rows import BATCH_ROWS, KINDS
from loadtests.bench.stage import Site, Stage

LINE = Line(quantity=1, unit_price_minor=UNIT_PRICE_MINOR)
CHECK_MESSAGE = CheckEligibilityRequest(
    offer_id=OFFER_ID, customer_id=CUSTOMER_ID, line=LINE, currency=CURRENCY
)
QUOTE_MESSAGE = QuoteRequest(
    offer_id=OFFER_ID, customer_id=CUSTOMER_ID, line=LINE, currency=CURRENCY
)


def redeem_message(request_id: object, offer_id: object, customer_id: object) -> RedeemRequest:
    """A Redeem of one piece by the ids."""
    return RedeemRequest(
        request_id=str(request_id),
        offer_id=str(offer_id),
        customer_id=str(customer_id),
        line=LINE,
        currency=CURRENCY,
    )


REDEEM_MESSAGE = redeem_message(REQUEST_ID, OFFER_ID, CUSTOMER_ID)


class Surprise(Exception):
    """A row's calls are not answered as they must be; the text says what came instead."""


def targets_of(stage: Stage) -> dict[str, Target]:
    """By row. The rivals get the same bytes and the same metadata as Redeem."""
    main, hot = stage.main, [stage.main.hot]
    rivals = {"echo": ECHO, "textbook": TEXTBOOK, "one_call": ONE_CALL}
    targets = [
        *(
            target(stage, name, main, path, REDEEM_MESSAGE, hot, f"127.0.0.1:{stage.rivals[name]}")
            for name, path in rivals.items()
        ),
        *(
            target(stage, name, main, REDEEM_BATCH, REDEEM_MESSAGE, hot)
            for name in ("batch", *BATCH_ROWS)
        ),
        target(stage, "hot", main, REDEEM, REDEEM_MESSAGE, hot),
        target(stage, "spread", main, REDEEM, REDEEM_MESSAGE, main.offers),
        target(stage, "refusal", main, REDEEM, REDEEM_MESSAGE, [stage.scarce]),
        target(stage, "check", main, CHECK_ELIGIBILITY, CHECK_MESSAGE, hot),
        target(stage, "quote", main, QUOTE, QUOTE_MESSAGE, hot),
        target(stage, "full", stage.full, REDEEM, REDEEM_MESSAGE, [stage.full.hot]),
        target(
            stage, "cold", stage.full, REDEEM, REDEEM_MESSAGE, stage.full.others[: len(main.offers)]
        ),
        target(stage, "empty", main, REDEEM, REDEEM_MESSAGE, hot),
        target(stage, "fresh", stage.fresh, REDEEM, REDEEM_MESSAGE, [stage.fresh.hot]),
    ]
    return {made.name: made for made in targets}


def target(
    stage: Stage,
    name: str,
    site: Site,
    path: str,
    message: Message,
    offers: Sequence[UUID],
    address: str = "",
) -> Target:
    """The row's target at the site's server, unless at another address."""
    items = KINDS[name].items_per_call if path == REDEEM_BATCH else 0
    return Target(
        name=name,
        address=address or site.access.address,
        path=path,
        template=template_of(message.SerializeToString(), items),
        customers=stage.customers,
        offers=list(offers),
        api_key=site.access.api_key,
    )


def prove_answers(stage: Stage) -> None:
    """The rows whose answers are not audited mean what they say: the customer may have the offer,
    and it gives its discount. Raises Surprise."""
    site, offer = stage.main, str(stage.main.hot)
    customer = str(stage.customers[0])
    ids = (OFFER_ID.encode(), offer.encode()), (CUSTOMER_ID.encode(), customer.encode())
    with grpc.insecure_channel(site.access.address) as channel:
        metadata = (("authorization", f"Bearer {site.access.api_key}"),)

        def call(path: str, message: Message) -> bytes:
            raw = message.SerializeToString()
            for stand_in, real in ids:
                raw = raw.replace(stand_in, real)
            method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
            return bytes(method(raw, timeout=CALL_SECONDS_MAX, metadata=metadata))

        judged = CheckEligibilityResponse.FromString(call(CHECK_ELIGIBILITY, CHECK_MESSAGE))
        priced = QuoteResponse.FromString(call(QUOTE, QUOTE_MESSAGE))
    if not judged.eligible or len(judged.rule_results) != 2:
        raise Surprise(f"the customer is not eligible by two rules: {judged}")
    if priced.line.discount_minor != UNIT_PRICE_MINOR // 10:
        raise Surprise(f"the quote is not 10 % off: {priced}")
