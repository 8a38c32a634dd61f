"""A good request of every method, with every field of it set."""

from collections.abc import Mapping

from google.protobuf.message import Message

from guerdon.api.admin.v1 import (
    api_key_service_pb2,
    fact_pb2,
    fact_service_pb2,
    offer_admin_service_pb2,
    offer_pb2,
)
from guerdon.api.offers.v1 import offer_service_pb2, pricing_pb2

ID = "0190c8f2-7d4e-7c3a-9a51-0242ac120002"
OFFERS = "/guerdon.api.offers.v1.OfferService/"
ADMIN = "/guerdon.api.admin.v1.OfferAdminService/"
FACTS = "/guerdon.api.admin.v1.FactService/"
KEYS = "/guerdon.api.admin.v1.ApiKeyService/"
REDEEM = OFFERS + "Redeem"

LINE = pricing_pb2.Line(product_id=ID, quantity=2, unit_price_minor=2495)


def good_requests() -> Mapping[str, Message]:
    """By method path; StreamTransactions' entry is one chunk."""
    return {
        **{OFFERS + name: message for name, message in _offer_requests().items()},
        **{ADMIN + name: message for name, message in _admin_requests().items()},
        **{FACTS + name: message for name, message in _fact_requests().items()},
        **{KEYS + name: message for name, message in _key_requests().items()},
    }


def sensible_offers() -> Mapping[str, Message]:
    """By method path, requests with an offer whose fields go together as well."""
    offer = full_offer()
    offer.ClearField("buy_x_get_y")
    offer.ClearField("product_ids")
    offer.ClearField("code")
    offer.ClearField("etag")
    offer.products[0].ClearField("price_override_minor")
    update = offer_admin_service_pb2.UpdateOfferRequest(offer=offer)
    return {
        ADMIN + "CreateOffer": offer_admin_service_pb2.CreateOfferRequest(offer=offer),
        ADMIN + "UpdateOffer": update,
    }


def redeem_request() -> offer_service_pb2.RedeemRequest:
    return offer_service_pb2.RedeemRequest(
        request_id=ID,
        offer_id=ID,
        customer_id=ID,
        line=LINE,
        currency="NGN",
        order_ref="SO-10027",
        service_type=pricing_pb2.SERVICE_TYPE_DELIVERY,
        expected_paid_minor=3995,
    )


def full_offer() -> offer_pb2.Offer:
    offer = offer_pb2.Offer(
        offer_id=ID,
        code="SAVE50",
        title="Weekend Blitz",
        description="Half price",
        translations=[offer_pb2.OfferTranslation(locale="ar", title="t", description="d")],
        internal_note="for staff",
        status="draft",
        kind="product",
        discount_type="percentage",
        discount_value=50,
        max_discount_minor=50_000,
        currency="NGN",
        priority=10,
        auto_apply=True,
        service_type="both",
        per_user_limit=1,
        total_usage_limit=1000,
        apply_to="operator_product",
        products=[
            offer_pb2.OfferProduct(
                product_id=ID,
                price_override_minor=3995,
                offer_percentage=20,
                offer_quantity=2,
                max_quantity_per_purchase=5,
                max_uses=50,
            )
        ],
        product_ids=[ID],
        audience_mode="listed",
        allowed_customer_ids=[ID],
        allowed_roles=["reseller"],
        eligibility_logic="all",
        rules=[offer_pb2.OfferRule(rule_key="k", rule_type="new_user", description="new")],
        buy_x_get_y=offer_pb2.BuyXGetY(
            buy_quantity=2, get_quantity=1, get_discount_percentage=50, groups_max=3
        ),
        offer_quantity=2,
        etag="1",
    )
    offer.rules[0].params.update({"account_age_days": 7})
    offer.starts_at.FromJsonString("2026-01-01T00:00:00Z")
    offer.ends_at.FromJsonString("2027-01-01T00:00:00Z")
    return offer


def _offer_requests() -> dict[str, Message]:
    delivery = pricing_pb2.SERVICE_TYPE_DELIVERY
    return {
        "CheckEligibility": offer_service_pb2.CheckEligibilityRequest(
            offer_id=ID, customer_id=ID, line=LINE, currency="NGN", service_type=delivery
        ),
        "Quote": offer_service_pb2.QuoteRequest(
            customer_id=ID, line=LINE, currency="NGN", offer_id=ID, service_type=delivery
        ),
        "Redeem": redeem_request(),
        "RedeemBatch": offer_service_pb2.RedeemBatchRequest(requests=[redeem_request()]),
        "Revoke": offer_service_pb2.RevokeRequest(request_id=ID, reason="payment failed"),
        "GetRedemption": offer_service_pb2.GetRedemptionRequest(request_id=ID),
        "ListRedemptions": offer_service_pb2.ListRedemptionsRequest(
            order=offer_service_pb2.OrderFilter(offer_id=ID, order_ref="SO-10027"),
            page_size=10,
            page_token="abc",
        ),
        "ListApplicableOffers": offer_service_pb2.ListApplicableOffersRequest(
            customer_id=ID,
            line=LINE,
            currency="NGN",
            service_type=delivery,
            locale="ar-EG",
            page_size=10,
        ),
    }


def _admin_requests() -> dict[str, Message]:
    update = offer_admin_service_pb2.UpdateOfferRequest(offer=full_offer())
    update.update_mask.paths.append("title")
    return {
        "CreateOffer": offer_admin_service_pb2.CreateOfferRequest(offer=full_offer(), offer_id=ID),
        "GetOffer": offer_admin_service_pb2.GetOfferRequest(offer_id=ID),
        "ListOffers": offer_admin_service_pb2.ListOffersRequest(
            page_size=10, page_token="abc", status="active"
        ),
        "UpdateOffer": update,
        "ChangeOfferStatus": offer_admin_service_pb2.ChangeOfferStatusRequest(
            offer_id=ID, status="paused", etag="1"
        ),
    }


def _fact_requests() -> dict[str, Message]:
    return {
        "PushCustomers": fact_service_pb2.PushCustomersRequest(customers=[_customer()]),
        "PushProducts": fact_service_pb2.PushProductsRequest(products=[_product()]),
        "PushOperators": fact_service_pb2.PushOperatorsRequest(
            operators=[fact_pb2.Operator(operator_id=ID, name="MTN")]
        ),
        "PushSuppliers": fact_service_pb2.PushSuppliersRequest(suppliers=[_supplier()]),
        "PushTransactions": fact_service_pb2.PushTransactionsRequest(
            transactions=[good_transaction()]
        ),
        "PushActivity": fact_service_pb2.PushActivityRequest(
            activities=[fact_pb2.Activity(customer_id=ID, day="2026-11-21")]
        ),
        "StreamTransactions": fact_service_pb2.StreamTransactionsRequest(
            chunk_number=1, transactions=[good_transaction()]
        ),
    }


def _key_requests() -> dict[str, Message]:
    create = api_key_service_pb2.CreateApiKeyRequest(name="checkout", scopes=["offers.redeem"])
    create.expire_time.FromJsonString("2100-01-01T00:00:00Z")
    return {
        "CreateApiKey": create,
        "ListApiKeys": api_key_service_pb2.ListApiKeysRequest(page_size=10, page_token="abc"),
        "RevokeApiKey": api_key_service_pb2.RevokeApiKeyRequest(api_key_id="8f14e45fceea167a"),
    }


def good_transaction() -> fact_pb2.Transaction:
    transaction = fact_pb2.Transaction(
        transaction_id="T-88121",
        customer_id=ID,
        kind=fact_pb2.TRANSACTION_KIND_TOPUP,
        status=fact_pb2.TRANSACTION_STATUS_SUCCEEDED,
        operator_id=ID,
        product_id=ID,
        amount_minor=100_000,
        currency="NGN",
    )
    transaction.occurred_time.FromJsonString("2026-11-20T12:00:00Z")
    return transaction


def _customer() -> fact_pb2.Customer:
    customer = fact_pb2.Customer(
        customer_id=ID,
        external_ref="acct-4711",
        status=fact_pb2.CUSTOMER_STATUS_ACTIVE,
        roles=["reseller"],
    )
    customer.created_time.FromJsonString("2026-11-01T00:00:00Z")
    customer.last_active_time.FromJsonString("2026-11-20T00:00:00Z")
    return customer


def _product() -> fact_pb2.Product:
    return fact_pb2.Product(
        product_id=ID,
        sku="MTN-1GB",
        kind=fact_pb2.PRODUCT_KIND_OPERATOR,
        operator_id=ID,
        category_id=ID,
        names=[fact_pb2.LocalizedText(locale="en", text="1 GB")],
        unit_name="piece",
        unit_quantity=1,
        list_price_minor=2495,
        cost_minor=1800,
        currency="NGN",
        stock_quantity=40,
        active=True,
    )


def _supplier() -> fact_pb2.Supplier:
    link = fact_pb2.SupplierProduct(
        supplier_product_id=ID,
        product_id=ID,
        supplier_sku="AC-778",
        cost_minor=1750,
        currency="NGN",
    )
    return fact_pb2.Supplier(supplier_id=ID, name="Acme Wholesale", supplier_products=[link])
