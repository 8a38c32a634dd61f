"""The scenario files on the pure domain: compiler, guards and prices, without any server."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from guerdon.domain.guards import decide
from guerdon.domain.identifiers import OfferId, ProductId, TenantId
from guerdon.domain.offer_compilation import compile_offer
from guerdon.domain.products import Product, SupplierLink
from guerdon.domain.redemption import Line, PricedLine, Purchase
from guerdon.domain.refusals import Refusal
from guerdon.domain.tenants import Tenant
from tests.scenarios.model import Bought, GivenProduct, Outcome, Scenario, load_scenarios

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TENANT_ID = TenantId(UUID(int=1))
OFFER_ID = OfferId(UUID(int=2))
SCENARIOS = load_scenarios()


def make_tenant(scenario: Scenario) -> Tenant:
    given = scenario.tenant
    return Tenant(
        tenant_id=TENANT_ID,
        name="Scenario",
        currency=given.currency,
        time_zone="UTC",
        rounding=given.rounding,
        price_source=given.price_source,
        stock_limits=given.stock_limits,
        default_locale="en",
    )


def make_product(given: GivenProduct) -> Product:
    return Product(
        product_id=ProductId(given.product_id),
        facts_version=1,
        kind=given.kind,
        suppliers=tuple(
            SupplierLink(link.supplier_id, link.supplier_product_id) for link in given.suppliers
        ),
        list_price_minor=given.list_price_minor,
        currency=given.currency,
        stock_quantity=given.stock_quantity,
        active=given.active,
    )


def make_purchase(bought: Bought, currency: str) -> Purchase:
    product_id = None if bought.product_id is None else ProductId(bought.product_id)
    return Purchase(
        tenant_id=TENANT_ID,
        line=Line(product_id, bought.quantity, bought.unit_price_minor),
        currency=bought.currency or currency,
        service_type=bought.service_type,
        expected_paid_minor=bought.expected_paid_minor,
    )


def check(answer: PricedLine | Refusal, outcome: Outcome) -> None:
    if isinstance(answer, PricedLine):
        expected = (outcome.list_minor, outcome.discount_minor, outcome.paid_minor)
        price = answer.price
        assert (price.list_minor, price.discount_minor, price.paid_minor) == expected
        return
    assert outcome.refusal is not None, f"{answer} where a price was expected"
    assert answer.reason.name == outcome.refusal
    assert answer.details | outcome.details == answer.details


@pytest.mark.parametrize(
    "scenario", [scenario for _, scenario in SCENARIOS], ids=[name for name, _ in SCENARIOS]
)
def test_the_scenario_holds(scenario: Scenario) -> None:
    tenant = make_tenant(scenario)
    draft = compile_offer(scenario.written_offer(NOW), tenant, OFFER_ID)
    products = {given.product_id: make_product(given) for given in scenario.products}
    for step in scenario.steps:
        purchase = make_purchase(step.when, draft.offer.currency)
        product = None if step.when.product_id is None else products.get(step.when.product_id)
        check(decide(purchase, draft.offer, product, tenant, NOW), step.then)


def test_the_scenarios_grant_and_refuse_and_span_the_currencies() -> None:
    outcomes = [step.then for _, scenario in SCENARIOS for step in scenario.steps]
    assert sum(outcome.refusal is None for outcome in outcomes) >= 20
    assert len({outcome.refusal for outcome in outcomes if outcome.refusal}) >= 12
    currencies = {scenario.offer.get("currency") for _, scenario in SCENARIOS}
    assert {"JPY", "EUR", "KWD"} <= currencies
