"""Refusals: definite business noes. The order of the members is the order of precedence, the same
in
redeem_v1.sql, in docs/errors.md and in the tests: of several reasons a caller hears the first."""

from enum import IntEnum

import msgspec


class RefusalReason(IntEnum):
    """Why not. The numbers are those that the SQL functions answer; they are never reused."""

    REQUEST_REVOKED = 10
    """A revoke of this request id arrived first."""
    REQUEST_ID_REUSED = 11
    """The request id was granted with another body."""
    OFFER_NOT_FOUND = 20
    OFFER_NOT_ACTIVE = 21
    OFFER_NOT_STARTED = 22
    OFFER_ENDED = 23
    SERVICE_TYPE_NOT_COVERED = 24
    CURRENCY_NOT_COVERED = 30
    PRODUCT_NOT_COVERED = 31
    QUANTITY_TOO_LOW = 32
    QUANTITY_TOO_HIGH = 33
    OUT_OF_STOCK = 34
    """Only where the tenant says that stock limits."""
    AMOUNT_TOO_LARGE = 35
    PRICE_MISMATCH = 36
    PRICE_CHANGED = 37
    CUSTOMER_BLOCKED = 40
    NOT_IN_AUDIENCE = 41
    NOT_ELIGIBLE = 42
    ORDER_ALREADY_USED = 50
    TOTAL_LIMIT_REACHED = 51
    PRODUCT_LIMIT_REACHED = 52
    CUSTOMER_LIMIT_REACHED = 53


class Refusal(msgspec.Struct, frozen=True):
    """One no, with the values that its message names (never customer ids or other personal
    data)."""

    reason: RefusalReason
    details: dict[str, str | int] = {}


class Refused(Exception):
    """Carries a refusal out of a plane; transport alone turns it into a status."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason.name)
        self.refusal = refusal
