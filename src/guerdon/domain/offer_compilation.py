"""From an offer as an admin writes it to the kept form, with everything that is wrong with it."""

from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from guerdon.domain import money
from guerdon.domain.errors import FieldsInvalid, FieldViolation
from guerdon.domain.identifiers import CustomerId, OfferId, parse_uuid
from guerdon.domain.offer_validation import validate_draft
from guerdon.domain.offers import (
    AudienceMode,
    BuyGet,
    Discount,
    DiscountType,
    EligibilityLogic,
    Offer,
    OfferDraft,
    OfferKind,
    OfferStatus,
    ProductScope,
    Rule,
    ServiceType,
    Target,
    Translation,
)
from guerdon.domain.rules import compile_rules
from guerdon.domain.tenants import Tenant
from guerdon.domain.written_offers import (
    APPLY_TO_ALL,
    APPLY_TO_OPERATOR_PRODUCT,
    APPLY_TO_SUPPLIER_PRODUCT,
    WrittenOffer,
    WrittenProduct,
)

_Enum = TypeVar("_Enum", bound=StrEnum)
# What `apply_to` covers when nothing is listed; beside "all", targets narrow it to themselves.
_WHOLE_SCOPES = {
    APPLY_TO_ALL: ProductScope.ALL,
    APPLY_TO_OPERATOR_PRODUCT: ProductScope.OPERATOR_PRODUCTS,
    APPLY_TO_SUPPLIER_PRODUCT: ProductScope.SUPPLIER_PRODUCTS,
}


def compile_offer(
    written: WrittenOffer, tenant: Tenant, offer_id: OfferId, version: int = 1
) -> OfferDraft:
    """The offer as it is kept. Raises FieldsInvalid with every violation there is."""
    return _Compiler(written, tenant).compile(offer_id, version)


class _Compiler:
    """Collects violations on the way; a wrong part is kept as something harmless meanwhile."""

    def __init__(self, written: WrittenOffer, tenant: Tenant) -> None:
        self._written = written
        self._tenant = tenant
        self._violations: list[FieldViolation] = []

    def compile(self, offer_id: OfferId, version: int) -> OfferDraft:
        targets, target_paths = self._targets()
        draft = OfferDraft(
            offer=self._offer(offer_id, version, targets),
            allowed_customers=self._customers(),
            allowed_roles=tuple(dict.fromkeys(self._written.allowed_roles)),
            internal_note=self._written.internal_note,
        )
        told = {violation.path for violation in self._violations}
        self._violations += [
            violation
            for violation in validate_draft(draft, self._tenant, target_paths)
            if violation.path not in told
        ]
        if self._violations:
            raise FieldsInvalid(self._violations)
        return draft

    def _offer(self, offer_id: OfferId, version: int, targets: tuple[Target, ...]) -> Offer:
        written = self._written
        discount_type = self._discount_type()
        currency = written.currency or self._tenant.currency
        return Offer(
            tenant_id=self._tenant.tenant_id,
            offer_id=offer_id,
            version=version,
            kind=self._kind(discount_type),
            status=self._choice(OfferStatus, written.status, OfferStatus.DRAFT, "status"),
            code=written.code.strip() if written.code else None,
            discount=self._discount(discount_type, currency),
            offer_quantity=written.offer_quantity or 1,
            buy_get=self._buy_get(),
            max_discount_minor=written.max_discount_minor,
            currency=currency,
            priority=written.priority,
            auto_apply=written.auto_apply,
            service_type=self._choice(
                ServiceType, written.service_type, ServiceType.BOTH, "service_type"
            ),
            product_scope=self._product_scope(bool(targets)),
            targets=targets,
            audience_mode=self._audience_mode(),
            eligibility_logic=self._choice(
                EligibilityLogic,
                written.eligibility_logic,
                EligibilityLogic.ALL,
                "eligibility_logic",
            ),
            rules=self._rules(),
            total_limit=written.total_usage_limit,
            per_customer_limit=written.per_user_limit,
            starts_at=written.starts_at,
            ends_at=written.ends_at,
            translations=self._translations(),
        )

    def _tell(self, path: str, description: str) -> None:
        self._violations.append(FieldViolation(f"offer.{path}", description))

    def _choice(self, enum: type[_Enum], text: str, default: _Enum, path: str) -> _Enum:
        if not text:
            return default
        try:
            return enum(text)
        except ValueError:
            self._tell(path, f"must be one of {', '.join(enum)}")
            return default

    def _number(self, read: Callable[[], int], path: str) -> int:
        try:
            return read()
        except money.NumberInvalid as error:
            self._tell(path, error.description)
            return 0

    def _discount_type(self) -> DiscountType:
        written = self._written
        looks_like_bogo = written.kind == OfferKind.BOGO or written.buy_x_get_y is not None
        likely = DiscountType.BUY_X_GET_Y if looks_like_bogo else DiscountType.PERCENTAGE
        if not written.discount_type:
            self._tell("discount_type", "is required")
        return self._choice(DiscountType, written.discount_type, likely, "discount_type")

    def _kind(self, discount_type: DiscountType) -> OfferKind:
        is_buy_get = discount_type is DiscountType.BUY_X_GET_Y
        likely = OfferKind.BOGO if is_buy_get else OfferKind.PRODUCT
        return self._choice(OfferKind, self._written.kind, likely, "kind")

    def _discount(self, discount_type: DiscountType, currency: str) -> Discount:
        value = self._written.discount_value
        match discount_type:
            case DiscountType.PERCENTAGE:
                bps = self._number(lambda: money.bps_from_percent(value), "discount_value")
                return Discount(discount_type, bps=bps)
            case DiscountType.BUY_X_GET_Y:
                if value != 0:
                    self._tell("discount_value", "must be 0 for buy_x_get_y: its terms say it all")
                return Discount(discount_type)
            case DiscountType.FIXED_AMOUNT | DiscountType.FIXED_PRICE:
                # An amount in a currency that nobody knows cannot be read; the currency is told.
                if currency not in money.EXPONENTS:
                    return Discount(discount_type, minor=0)
                minor = self._number(
                    lambda: money.minor_from_major(value, currency), "discount_value"
                )
                return Discount(discount_type, minor=minor)

    def _buy_get(self) -> BuyGet | None:
        terms = self._written.buy_x_get_y
        if terms is None:
            return None
        path = "buy_x_get_y.get_discount_percentage"
        bps = self._number(lambda: money.bps_from_percent(terms.get_discount_percentage), path)
        return BuyGet(
            buy_quantity=terms.buy_quantity,
            get_quantity=terms.get_quantity,
            get_discount_bps=bps or money.BASIS_POINTS,
            groups_max=terms.groups_max,
        )

    def _product_scope(self, lists_targets: bool) -> ProductScope:
        whole_scope = _WHOLE_SCOPES.get(self._written.apply_to or APPLY_TO_ALL)
        if whole_scope is None:
            self._tell("apply_to", f"must be one of {', '.join(_WHOLE_SCOPES)}")
            return ProductScope.ALL
        if whole_scope is not ProductScope.ALL and lists_targets:
            return ProductScope.LISTED
        return whole_scope

    def _targets(self) -> tuple[tuple[Target, ...], list[str]]:
        """The targets, and where each was written."""
        targets, paths = [], []
        for index, product in enumerate(self._written.products):
            targets.append(self._target(product, f"products[{index}]"))
            paths.append(f"offer.products[{index}]")
        supplied = self._written.apply_to == APPLY_TO_SUPPLIER_PRODUCT
        for index, text in enumerate(self._written.product_ids):
            identifier = self._uuid(text, f"product_ids[{index}]")
            targets.append(
                Target(supplier_product_id=identifier)
                if supplied
                else Target(product_id=identifier)
            )
            paths.append(f"offer.product_ids[{index}]")
        return tuple(targets), paths

    def _target(self, product: WrittenProduct, path: str) -> Target:
        percentage = product.offer_percentage
        return Target(
            product_id=self._uuid(product.product_id, f"{path}.product_id"),
            supplier_product_id=self._uuid(
                product.supplier_product_id, f"{path}.supplier_product_id"
            ),
            supplier_id=self._uuid(product.supplier_id, f"{path}.supplier_id"),
            fixed_price_minor=product.price_override_minor,
            discount_bps=None
            if percentage is None
            else self._number(
                lambda: money.bps_from_percent(percentage), f"{path}.offer_percentage"
            ),
            offer_quantity=product.offer_quantity or 1,
            max_quantity_per_purchase=product.max_quantity_per_purchase,
            max_uses=product.max_uses,
        )

    def _uuid(self, text: str, path: str) -> UUID | None:
        if not text:
            return None
        identifier = parse_uuid(text)
        if identifier is None:
            self._tell(path, "must be a UUID")
            # Another one each time, so that two wrong ids are not told to be the same target.
            return UUID(int=len(self._violations))
        return identifier

    def _customers(self) -> tuple[CustomerId, ...]:
        identifiers = [
            self._uuid(text, f"allowed_customer_ids[{index}]")
            for index, text in enumerate(self._written.allowed_customer_ids)
        ]
        return tuple(dict.fromkeys(CustomerId(one) for one in identifiers if one is not None))

    def _audience_mode(self) -> AudienceMode:
        written = self._written
        somebody = written.allowed_customer_ids or written.allowed_roles
        likely = AudienceMode.LISTED if somebody else AudienceMode.EVERYONE
        return self._choice(AudienceMode, written.audience_mode, likely, "audience_mode")

    def _rules(self) -> tuple[Rule, ...]:
        compiled, violations = compile_rules(self._written.rules, self._tenant.currency)
        self._violations += violations
        return compiled

    def _translations(self) -> dict[str, Translation]:
        written, default = self._written, self._tenant.default_locale
        translations = {default: Translation(written.title, written.description)}
        for index, text in enumerate(written.translations):
            if text.locale in translations:
                self._tell(f"translations[{index}].locale", "is said already")
            translations.setdefault(text.locale, Translation(text.title, text.description))
        return translations
