"""Which of an offer's targets a line meets, and which products an offer covers."""

from uuid import UUID

import msgspec
import pytest

from guerdon.domain.guards import (
    decide,
)
from guerdon.domain.identifiers import ProductId
from guerdon.domain.offers import (
    ProductScope,
    Target,
)
from guerdon.domain.products import Product, ProductKind, SupplierLink
from guerdon.domain.redemption import PricedLine
from guerdon.domain.refusals import Refusal, RefusalReason
from tests.unit.samples import (
    LINKED,
    NOW,
    OFFER_ID,
    OWN,
    PRODUCT_ID,
    SUPPLIER,
    make_line,
    make_offer,
    make_product,
    make_purchase,
    make_tenant,
    priced,
    refusal_of,
)

TENANT = make_tenant()

ELSEWHERE = Target(product_id=UUID(int=99), discount_bps=400)
LINKS = (SupplierLink(UUID(int=30), UUID(int=20)),)


@pytest.mark.parametrize(
    ("targets", "winner"),
    [
        ((SUPPLIER, LINKED, OWN), OWN),
        ((SUPPLIER, LINKED, ELSEWHERE), LINKED),
        ((SUPPLIER, ELSEWHERE), SUPPLIER),
        ((ELSEWHERE,), None),
        ((), None),
    ],
)
def test_a_product_wins_over_a_suppliers_product_and_that_over_a_supplier(
    targets: tuple[Target, ...], winner: Target | None
) -> None:
    offer = make_offer(product_scope=ProductScope.LISTED, targets=targets)
    decision = decide(make_purchase(), offer, make_product(suppliers=LINKS), TENANT, NOW)
    if winner is None:
        assert refusal_of(decision).reason is RefusalReason.PRODUCT_NOT_COVERED
    else:
        assert priced(decision).target_id == winner.target_id


@pytest.mark.parametrize("kind", ["product_id", "supplier_product_id", "supplier_id"])
def test_an_id_matches_only_as_what_it_was_listed(kind: str) -> None:
    one = UUID(int=7)
    target = msgspec.convert({kind: one}, Target)
    offer = make_offer(product_scope=ProductScope.LISTED, targets=(target,))
    other = UUID(int=8)
    facts = {
        "product_id": make_product(product_id=ProductId(one)),
        "supplier_product_id": make_product(suppliers=(SupplierLink(other, one),)),
        "supplier_id": make_product(suppliers=(SupplierLink(one, other),)),
    }
    for named, product in facts.items():
        purchase = make_purchase(make_line(product_id=product.product_id))
        decision = decide(purchase, offer, product, TENANT, NOW)
        assert isinstance(decision, PricedLine) == (named == kind)


def decide_among(targets: tuple[Target, ...], quantity: int = 3) -> PricedLine | Refusal:
    """A line of a product that suppliers 31 to 33 sell, under targets of these."""
    links = tuple(SupplierLink(UUID(int=30 + n), UUID(int=20 + n)) for n in (1, 2, 3))
    offer = make_offer(product_scope=ProductScope.LISTED, targets=targets)
    product = make_product(suppliers=links)
    return decide(make_purchase(make_line(quantity)), offer, product, TENANT, NOW)


def test_of_targets_of_one_rank_the_cheapest_for_the_customer_wins() -> None:
    dear = Target(supplier_id=UUID(int=31), discount_bps=100)
    cheap = Target(supplier_id=UUID(int=33), discount_bps=900, max_uses=5)
    decision = priced(decide_among((cheap, dear)))
    assert (decision.target_id, decision.target_max_uses) == (cheap.target_id, 5)


def test_of_equally_cheap_targets_the_lower_id_wins() -> None:
    twins = [Target(supplier_id=UUID(int=number), discount_bps=100) for number in (33, 31, 32)]
    assert priced(decide_among(tuple(twins))).target_id == UUID(int=31)


def test_a_target_that_refuses_the_quantity_gives_way_to_one_of_its_rank() -> None:
    group = Target(supplier_id=UUID(int=31), discount_bps=5000, offer_quantity=4)
    single = Target(supplier_id=UUID(int=32), discount_bps=100)
    assert priced(decide_among((group, single))).target_id == single.target_id


def test_when_every_target_refuses_the_first_reason_is_told() -> None:
    few = Target(supplier_id=UUID(int=31), discount_bps=1, max_quantity_per_purchase=2)
    many = Target(supplier_id=UUID(int=32), discount_bps=1, offer_quantity=4)
    assert refusal_of(decide_among((few, many))).details == {
        "offer_id": str(OFFER_ID),
        "quantity": 3,
        "quantity_min": 4,
    }


@pytest.mark.parametrize(
    ("scope", "product", "covered"),
    [
        (ProductScope.ALL, None, True),
        (ProductScope.OPERATOR_PRODUCTS, make_product(kind=ProductKind.OPERATOR), True),
        (ProductScope.OPERATOR_PRODUCTS, make_product(kind=ProductKind.RETAIL), False),
        (ProductScope.OPERATOR_PRODUCTS, make_product(facts_version=0), False),
        (ProductScope.OPERATOR_PRODUCTS, None, False),
        (
            ProductScope.OPERATOR_PRODUCTS,
            make_product(kind=ProductKind.OPERATOR, active=False),
            False,
        ),
        (ProductScope.SUPPLIER_PRODUCTS, make_product(suppliers=LINKS), True),
        (ProductScope.SUPPLIER_PRODUCTS, make_product(), False),
        (ProductScope.LISTED, make_product(), False),
    ],
)
def test_scopes_cover_by_the_products_facts(
    scope: ProductScope, product: Product | None, covered: bool
) -> None:
    decision = decide(make_purchase(), make_offer(product_scope=scope), product, TENANT, NOW)
    assert isinstance(decision, PricedLine) == covered


@pytest.mark.parametrize("scope", sorted(set(ProductScope) - {ProductScope.ALL}))
def test_a_line_without_a_product_is_covered_by_offers_for_all_products_only(
    scope: ProductScope,
) -> None:
    purchase = make_purchase(make_line(product_id=None))
    offer = make_offer(product_scope=scope, targets=(OWN, SUPPLIER))
    refusal = refusal_of(decide(purchase, offer, None, TENANT, NOW))
    assert refusal == Refusal(
        RefusalReason.PRODUCT_NOT_COVERED, details={"offer_id": str(OFFER_ID)}
    )
    priced(decide(purchase, make_offer(), None, TENANT, NOW))


def test_an_offer_for_all_products_takes_a_listed_products_own_terms() -> None:
    offer = make_offer(targets=(OWN,))
    assert priced(decide(make_purchase(), offer, None, TENANT, NOW)).target_id == PRODUCT_ID
