"""What went wrong that is no refusal: errors carry data, transport alone words them."""

from uuid import UUID

import msgspec

from guerdon.domain.identifiers import OfferId


class FieldViolation(msgspec.Struct, frozen=True):
    """One wrong field. `path` is the proto path, e.g. `offer.rules[0].params.count`."""

    path: str
    description: str


class GuerdonError(Exception):
    """The root of every error that transport knows how to answer."""


class FieldsInvalid(GuerdonError):
    """Input that is wrong whatever the state; carries all violations at once."""

    def __init__(self, violations: list[FieldViolation]) -> None:
        super().__init__(f"{len(violations)} invalid fields")
        self.violations = violations


class OfferInvalid(FieldsInvalid):
    """An offer that cannot be activated as it is; carries everything that is wrong with it.

    `offer_id` is None for an offer that was to be created so.
    """

    def __init__(self, violations: list[FieldViolation], offer_id: OfferId | None) -> None:
        super().__init__(violations)
        self.offer_id = offer_id


class NotFound(GuerdonError):
    """Absent in the caller's own tenant. `kind` is "offer", "redemption", "api_key" or "tenant",
    `name` the id by which it was looked for."""

    def __init__(self, kind: str, name: UUID | str) -> None:
        super().__init__(kind)
        self.kind = kind
        self.name = str(name)


class CodeAlreadyUsed(GuerdonError):
    """Another live offer of the tenant has this code, as it was to be written."""

    def __init__(self, code: str) -> None:
        super().__init__("code")
        self.code = code


class OfferAlreadyExists(GuerdonError):
    """The tenant has an offer of the id that was asked for."""

    def __init__(self, offer_id: OfferId) -> None:
        super().__init__(str(offer_id))
        self.offer_id = offer_id


class EtagMismatch(GuerdonError):
    """The offer changed since it was read."""

    def __init__(self, offer_id: OfferId) -> None:
        super().__init__(str(offer_id))
        self.offer_id = offer_id


class StatusTransitionIllegal(GuerdonError):
    """The offer's life cycle has no such step. `offer_id` is None for an offer to be created."""

    def __init__(self, current: str, wanted: str, offer_id: OfferId | None) -> None:
        super().__init__(f"{current} -> {wanted}")
        self.current = current
        self.wanted = wanted
        self.offer_id = offer_id


class TransactionConflict(GuerdonError):
    """A transaction id was pushed again with other content. `transaction_ids` names them."""

    def __init__(self, transaction_ids: list[str]) -> None:
        super().__init__(f"{len(transaction_ids)} transactions")
        self.transaction_ids = transaction_ids


class PageTokenInvalid(GuerdonError):
    """A page token that this list did not hand out."""


class Unauthenticated(GuerdonError):
    """`reason` is API_KEY_MISSING, API_KEY_INVALID, API_KEY_EXPIRED or API_KEY_REVOKED."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Overloaded(GuerdonError):
    """Shed before any work was done."""


class DependencyUnavailable(GuerdonError):
    """Postgres could not do it, and certainly did nothing: a retry is safe and may succeed."""


class OutcomeUnknown(GuerdonError):
    """The commit's acknowledgement was lost and could not be resolved in time: retry the same
    request id."""


class DeadlinePassed(GuerdonError):
    """The caller's deadline passed before the work was sent; nothing was done."""


class Conflict(GuerdonError):
    """Locks were not to be had within their bound, after the retries that are allowed."""


class Defect(GuerdonError):
    """A bug that one item ran into; the others of its batch are not touched by it."""
