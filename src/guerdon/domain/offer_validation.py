"""What is wrong with an offer, all of it at once, under the field names of the admin proto."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from guerdon import limits
from guerdon.domain import rules
from guerdon.domain.errors import FieldViolation
from guerdon.domain.money import BASIS_POINTS, EXPONENTS
from guerdon.domain.offers import (
    AudienceMode,
    DiscountType,
    Offer,
    OfferDraft,
    OfferKind,
    ProductScope,
    Target,
    Translation,
)
from guerdon.domain.pricing import pieces_min
from guerdon.domain.tenants import Tenant
from guerdon.domain.text import has_invisible, is_locale

CODE_CHARACTERS_MAX: Final = 64
TITLE_CHARACTERS_MAX: Final = 200
DESCRIPTION_CHARACTERS_MAX: Final = 4000
ROLE_CHARACTERS_MAX: Final = 64
TRANSLATIONS_MAX: Final = 50
PRIORITY_MAX: Final = 1_000_000
# A window within these years stays one in every time zone and every calendar library.
WINDOW_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
WINDOW_LATEST: Final = datetime(9999, 1, 1, tzinfo=UTC)

_Violations = Iterator[FieldViolation]


def validate_draft(
    draft: OfferDraft, tenant: Tenant, target_paths: Sequence[str] | None = None
) -> list[FieldViolation]:
    """Everything that no stored offer may have, in the order of the proto's fields.

    `target_paths` says where each target was written; without it they are `offer.products[i]`.
    """
    offer = draft.offer
    if target_paths is None:
        target_paths = [f"offer.products[{index}]" for index in range(len(offer.targets))]
    checks: tuple[Callable[[], _Violations], ...] = (
        lambda: _check_code(offer),
        lambda: _check_texts(draft, tenant),
        lambda: _check_kind(offer),
        lambda: _check_discount(offer),
        lambda: _check_currency(offer),
        lambda: _check_limits(offer),
        lambda: _check_targets(offer, target_paths),
        lambda: _check_audience(draft),
        lambda: _check_rules(offer, tenant),
        lambda: _check_buy_get(offer),
        lambda: _check_window(offer),
    )
    return [violation for check in checks for violation in check()]


def validate_activation(draft: OfferDraft, now: datetime) -> list[FieldViolation]:
    """What a scheduled or active offer must not have on top: it could never be redeemed."""
    return list(_check_reach(draft, now))


def _check_reach(draft: OfferDraft, now: datetime) -> _Violations:
    offer = draft.offer
    if offer.product_scope is ProductScope.LISTED and not offer.targets:
        yield FieldViolation("offer.products", "lists nothing, so the offer covers no product")
    nobody = not draft.allowed_customers and not draft.allowed_roles
    if offer.audience_mode is AudienceMode.LISTED and nobody:
        yield FieldViolation("offer.audience_mode", "is listed, but nobody is listed")
    if offer.ends_at is not None and offer.ends_at <= now:
        yield FieldViolation("offer.ends_at", "has passed")


def _check_code(offer: Offer) -> _Violations:
    code = offer.code_normalised
    if offer.code is None or code is None:
        return
    if not code:
        yield FieldViolation("offer.code", "is blank")
    if max(len(code), len(offer.code)) > CODE_CHARACTERS_MAX:
        yield FieldViolation("offer.code", f"must be at most {CODE_CHARACTERS_MAX} characters")
    elif has_invisible(offer.code):  # Normalising makes none where there was none.
        yield FieldViolation("offer.code", "must not have control or invisible characters")


def _check_texts(draft: OfferDraft, tenant: Tenant) -> _Violations:
    translations = dict(draft.offer.translations)
    flat = translations.pop(tenant.default_locale, Translation(title=""))
    yield from _check_translation(flat, "offer")
    if len(translations) > TRANSLATIONS_MAX:
        yield FieldViolation("offer.translations", f"at most {TRANSLATIONS_MAX}")
        return
    for index, (locale, translation) in enumerate(translations.items()):
        path = f"offer.translations[{index}]"
        if not is_locale(locale):
            yield FieldViolation(f"{path}.locale", "must be a BCP 47 tag such as ar or pt-BR")
        yield from _check_translation(translation, path)
    yield from _check_prose(draft.internal_note, "offer.internal_note")


def _check_translation(translation: Translation, path: str) -> _Violations:
    title = translation.title
    if not title.strip():
        yield FieldViolation(f"{path}.title", "is required")
    elif len(title) > TITLE_CHARACTERS_MAX or any(ord(character) < 32 for character in title):
        yield FieldViolation(
            f"{path}.title",
            f"must be at most {TITLE_CHARACTERS_MAX} characters without control characters",
        )
    yield from _check_prose(translation.description, f"{path}.description")


def _check_prose(text: str, path: str) -> _Violations:
    if len(text) > DESCRIPTION_CHARACTERS_MAX or "\0" in text:
        yield FieldViolation(
            path, f"must be at most {DESCRIPTION_CHARACTERS_MAX} characters, none of them NUL"
        )


def _check_kind(offer: Offer) -> _Violations:
    is_bogo = offer.kind is OfferKind.BOGO
    is_buy_get = offer.discount.type is DiscountType.BUY_X_GET_Y
    if is_bogo and not is_buy_get:
        yield FieldViolation("offer.discount_type", "must be buy_x_get_y for an offer of kind bogo")
    if is_buy_get and not is_bogo:
        yield FieldViolation("offer.kind", "must be bogo for the discount type buy_x_get_y")


def _check_discount(offer: Offer) -> _Violations:
    path = "offer.discount_value"
    bps, minor = offer.discount.bps, offer.discount.minor
    match offer.discount.type:
        case DiscountType.PERCENTAGE:
            if minor is not None or bps is None or not 0 <= bps <= BASIS_POINTS:
                yield FieldViolation(path, "must be a percentage of 0 to 100")
        case DiscountType.FIXED_AMOUNT | DiscountType.FIXED_PRICE:
            if bps is not None or minor is None or not 0 <= minor <= limits.UNIT_PRICE_MINOR_MAX:
                yield FieldViolation(path, "must be an amount that is neither negative nor too big")
        case DiscountType.BUY_X_GET_Y:
            if bps is not None or minor is not None:
                yield FieldViolation(path, "must be 0 for buy_x_get_y, whose terms say it all")
    yield from _check_range(
        offer.max_discount_minor, 1, limits.UNIT_PRICE_MINOR_MAX, "offer.max_discount_minor"
    )


def _check_currency(offer: Offer) -> _Violations:
    if offer.currency not in EXPONENTS:
        yield FieldViolation("offer.currency", "must be an ISO 4217 code that is in use")


def _check_limits(offer: Offer) -> _Violations:
    yield from _check_range(offer.priority, -PRIORITY_MAX, PRIORITY_MAX, "offer.priority")
    for name, limit in (
        ("per_user_limit", offer.per_customer_limit),
        ("total_usage_limit", offer.total_limit),
    ):
        yield from _check_range(limit, 1, limits.OFFER_USES_MAX, f"offer.{name}")
    yield from _check_range(
        offer.offer_quantity, 1, limits.QUANTITY_PIECES_MAX, "offer.offer_quantity"
    )


def _check_buy_get(offer: Offer) -> _Violations:
    path = "offer.buy_x_get_y"
    is_buy_get = offer.discount.type is DiscountType.BUY_X_GET_Y
    terms = offer.buy_get
    if terms is None:
        if is_buy_get:
            yield FieldViolation(path, "is required for the discount type buy_x_get_y")
        return
    if not is_buy_get:
        yield FieldViolation(path, "belongs to the discount type buy_x_get_y only")
    if offer.offer_quantity != 1:
        yield FieldViolation("offer.offer_quantity", "must be 1 beside buy_x_get_y")
    pieces_max = limits.QUANTITY_PIECES_MAX
    yield from _check_range(terms.buy_quantity, 1, pieces_max, f"{path}.buy_quantity")
    yield from _check_range(terms.get_quantity, 1, pieces_max, f"{path}.get_quantity")
    yield from _check_range(terms.groups_max, 1, pieces_max, f"{path}.groups_max")
    if not 0 <= terms.get_discount_bps <= BASIS_POINTS:
        yield FieldViolation(f"{path}.get_discount_percentage", "must be from 0 to 100")


def _check_window(offer: Offer) -> _Violations:
    bounds = (("starts_at", offer.starts_at), ("ends_at", offer.ends_at))
    outside = [
        name
        for name, moment in bounds
        if moment is not None and not WINDOW_EARLIEST <= moment < WINDOW_LATEST
    ]
    for name in outside:
        yield FieldViolation(
            f"offer.{name}", "must be from 2000 to 9998; leave it out for no such bound"
        )
    if not outside and offer.starts_at and offer.ends_at and offer.starts_at >= offer.ends_at:
        yield FieldViolation("offer.ends_at", "must be later than starts_at")


def _check_targets(offer: Offer, paths: Sequence[str]) -> _Violations:
    if len(offer.targets) > limits.OFFER_TARGETS_MAX:
        yield FieldViolation("offer.products", f"at most {limits.OFFER_TARGETS_MAX}")
        return
    seen: dict[object, str] = {}
    for target, path in zip(offer.targets, paths, strict=True):
        ids = (target.product_id, target.supplier_product_id, target.supplier_id)
        if sum(one is not None for one in ids) != 1:
            yield FieldViolation(
                path, "must have one of product_id, supplier_product_id and supplier_id"
            )
            continue
        earlier = seen.setdefault(target.target_id, path)
        if earlier != path:
            yield FieldViolation(path, f"is the target of {earlier} already")
        yield from _check_target(offer, target, path)


def _check_target(offer: Offer, target: Target, path: str) -> _Violations:
    price_path, percentage_path = f"{path}.price_override_minor", f"{path}.offer_percentage"
    has_own = target.fixed_price_minor is not None or target.discount_bps is not None
    if target.fixed_price_minor is not None and target.discount_bps is not None:
        yield FieldViolation(percentage_path, "excludes price_override_minor")
    yield from _check_range(target.fixed_price_minor, 0, limits.UNIT_PRICE_MINOR_MAX, price_path)
    if target.discount_bps is not None and not 0 <= target.discount_bps <= BASIS_POINTS:
        yield FieldViolation(percentage_path, "must be from 0 to 100")
    quantity_path = f"{path}.offer_quantity"
    yield from _check_range(target.offer_quantity, 1, limits.QUANTITY_PIECES_MAX, quantity_path)
    if target.offer_quantity != 1 and not has_own:
        yield FieldViolation(
            quantity_path, "needs price_override_minor or offer_percentage to be for"
        )
    yield from _check_range(target.max_uses, 1, limits.OFFER_USES_MAX, f"{path}.max_uses")
    yield from _check_range(
        target.max_quantity_per_purchase,
        pieces_min(offer, target),
        limits.QUANTITY_PIECES_MAX,
        f"{path}.max_quantity_per_purchase",
    )
    says_something = has_own or target.max_uses or target.max_quantity_per_purchase
    if offer.product_scope is not ProductScope.LISTED and not says_something:
        yield FieldViolation(
            path, "changes nothing: the offer covers it already, on the same terms"
        )


def _check_audience(draft: OfferDraft) -> _Violations:
    if len(draft.allowed_customers) > limits.OFFER_ALLOWED_CUSTOMERS_MAX:
        yield FieldViolation(
            "offer.allowed_customer_ids", f"at most {limits.OFFER_ALLOWED_CUSTOMERS_MAX}"
        )
    if len(draft.allowed_roles) > limits.OFFER_ALLOWED_ROLES_MAX:
        yield FieldViolation("offer.allowed_roles", f"at most {limits.OFFER_ALLOWED_ROLES_MAX}")
        return
    for index, role in enumerate(draft.allowed_roles):
        if not role.strip() or len(role) > ROLE_CHARACTERS_MAX or has_invisible(role):
            yield FieldViolation(
                f"offer.allowed_roles[{index}]",
                f"must be 1 to {ROLE_CHARACTERS_MAX} visible characters",
            )


def _check_rules(offer: Offer, tenant: Tenant) -> _Violations:
    written = [rules.write_rule(rule, tenant.currency) for rule in offer.rules]
    yield from rules.compile_rules(written, tenant.currency)[1]


def _check_range(value: int | None, minimum: int, maximum: int, path: str) -> _Violations:
    if value is not None and not minimum <= value <= maximum:
        yield FieldViolation(path, f"must be from {minimum} to {maximum}")
