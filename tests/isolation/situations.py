"""The pairs of calls that meet at one offer, by family."""

from dataclasses import dataclass

from tests.isolation.model import OTHER, Action, Edit, Redeem, Revoke, Terms

UNLIMITED = Terms()
COMMITS = "commit"
ROLLS_BACK = "rollback"


@dataclass(frozen=True)
class Situation:
    """What was done before, and the two calls whose steps interleave."""

    name: str
    actions: tuple[Action, Action]
    terms: Terms = UNLIMITED
    before: tuple[Action, ...] = ()
    endings: tuple[str, str] = (COMMITS, COMMITS)
    # Whether the two hardly wait for one another, so that there are many schedules.
    hardly_waits: bool = False


FIRST = Redeem("first")
SECOND = Redeem("second", customer="bob")
LAST_USE = Terms(total_limit=1)

FAMILIES = {
    "redeem x redeem": (
        Situation("unlimited", (FIRST, SECOND)),
        Situation("the last use", (FIRST, SECOND), LAST_USE),
        Situation(
            "the last use, let go of", (FIRST, SECOND), LAST_USE, endings=(ROLLS_BACK, COMMITS)
        ),
        Situation(
            "the customer's last use", (FIRST, Redeem("second")), Terms(customer_limit=1)
        ),
        Situation(
            "the product's last use",
            (Redeem("first", product="product"), Redeem("second", "bob", product="product")),
            Terms(product_limit=1),
        ),
        Situation("one order", (Redeem("first", order="order"), Redeem("second", order="order"))),
    ),
    "redeem x lower the limit": (
        Situation(
            "to what is used", (FIRST, Edit(total_limit=1)), Terms(total_limit=2),
            before=(Redeem("before"),),
        ),
        Situation(
            "to what is used, taken back", (FIRST, Edit(total_limit=1)), Terms(total_limit=2),
            before=(Redeem("before"),), endings=(COMMITS, ROLLS_BACK),
        ),
    ),
    "redeem x pause": (
        Situation("active", (FIRST, Edit(paused=True))),
        Situation("the redeem is rolled back", (FIRST, Edit(paused=True)),
                  endings=(ROLLS_BACK, COMMITS)),
    ),
    "redeem x revoke": (
        Situation("of its request", (FIRST, Revoke("first"))),
        Situation("of its request, not redeemed after all", (FIRST, Revoke("first")),
                  endings=(ROLLS_BACK, COMMITS)),
        Situation("of its request, not revoked after all", (FIRST, Revoke("first")),
                  endings=(COMMITS, ROLLS_BACK)),
        Situation("of its request, redeemed before", (FIRST, Revoke("first")), before=(FIRST,)),
        Situation("of the last use", (SECOND, Revoke("first")), LAST_USE, before=(FIRST,)),
        Situation("of the only order", (Redeem("second", order="order"), Revoke("first")),
                  before=(Redeem("first", order="order"),)),
        Situation("of another's use", (SECOND, Revoke("first")), before=(FIRST,),
                  hardly_waits=True),
    ),
    "twin x twin": (
        Situation("equal", (FIRST, FIRST)),
        Situation("equal, the last use", (FIRST, FIRST), LAST_USE),
        Situation("equal, one rolled back", (FIRST, FIRST), endings=(ROLLS_BACK, COMMITS)),
        Situation("for another customer", (FIRST, Redeem("first", customer="bob"))),
        Situation("for another offer", (FIRST, Redeem("first", offer=OTHER)),
                  hardly_waits=True),
    ),
    "revoke x revoke": (
        Situation("of one redemption", (Revoke("first"), Revoke("first")), before=(FIRST,)),
        Situation("of nothing", (Revoke("first"), Revoke("first"))),
        Situation("of two redemptions", (Revoke("first"), Revoke("second")),
                  before=(FIRST, SECOND), hardly_waits=True),
    ),
}  # fmt: skip
