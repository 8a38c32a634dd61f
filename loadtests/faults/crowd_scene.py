"""What a crowd asks of a server: an offer of which there is plenty, and one that is soon spent."""

from uuid import UUID

import msgspec
from uuid_utils.compat import uuid7

from guerdon.api.offers.v1.offer_service_pb2 import RedeemRequest
from guerdon.api.offers.v1.pricing_pb2 import Line
from loadtests.admin import CURRENCY, Admin, admin_of
from loadtests.bench import orders
from loadtests.bench.orders import Target, template_of
from loadtests.bench.scene import offer_with_rules, prepare_guerdon
from loadtests.history import Goal
from loadtests.servers import Access

REDEEM = "/guerdon.api.offers.v1.OfferService/Redeem"
CUSTOMERS = 5000
CALL_DEADLINE_SECONDS = 2.0
UNIT_PRICE_MINOR = 1000
# One call in so many asks for an offer that is spent, so that refusals are among the answers.
SCARCE_EVERY = 6
SCARCE_USES = 200
PLENTY_USES = 100_000_000


class Scene(msgspec.Struct, frozen=True):
    """A server with its offers, and how to load it."""

    access: Access
    goals: list[Goal]
    target: Target


def make_scene(access: Access) -> Scene:
    """The offers, and customers who pass their rules."""
    customers: list[UUID] = [uuid7() for _ in range(CUSTOMERS)]
    with admin_of(access.address, access.api_key) as admin:
        prepare_guerdon(admin, customers)
        plenty, scarce = make_offer(admin, PLENTY_USES), make_offer(admin, SCARCE_USES)
    request = RedeemRequest(
        request_id=orders.REQUEST_ID,
        offer_id=orders.OFFER_ID,
        customer_id=orders.CUSTOMER_ID,
        line=Line(quantity=1, unit_price_minor=UNIT_PRICE_MINOR),
        currency=CURRENCY,
    )
    target = Target(
        name="crowd",
        address=access.address,
        path=REDEEM,
        template=template_of(request.SerializeToString()),
        customers=customers,
        offers=[plenty] * (SCARCE_EVERY - 1) + [scarce],
        api_key=access.api_key,
        call_seconds_max=CALL_DEADLINE_SECONDS,
    )
    goals = [Goal(plenty, "plenty"), Goal(scarce, "scarce", total=SCARCE_USES)]
    return Scene(access, goals, target)


def make_offer(admin: Admin, uses: int) -> UUID:
    return admin.create_offer(offer_with_rules(uses, uses))
