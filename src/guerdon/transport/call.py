"""What a servicer knows of the call it answers, besides the message."""

from collections.abc import Iterable

from guerdon.domain.identifiers import TenantId
from guerdon.ports import Caller
from guerdon.transport.pushback import Pushback

BEARER = "bearer"


class Call:
    """One call: who asks, and how long the answer is waited for.

    `seconds` is what is left of the deadline, and `needs_timer` says that nobody but us will end
    the call when they are over. `pushback` tells when a part of it may be tried again. A servicer
    sets `replayed` when its answer had been given before, and the caller is told so in the trailing
    metadata.
    """

    __slots__ = ("caller", "needs_timer", "pushback", "replayed", "seconds")

    def __init__(
        self, caller: Caller, seconds: float, pushback: Pushback, *, needs_timer: bool
    ) -> None:
        self.caller = caller
        self.needs_timer = needs_timer
        self.pushback = pushback
        self.seconds = seconds
        self.replayed = False

    @property
    def tenant_id(self) -> TenantId:
        """The tenant of the API key; nothing in a message names another."""
        return self.caller.tenant_id


def find_key(metadata: Iterable[tuple[str, str | bytes]] | None) -> str | None:
    """The presented API key: `authorization: Bearer KEY`, else `x-api-key: KEY`; None without."""
    plain = None
    for name, value in metadata or ():
        if name == "authorization":
            scheme, _, token = str(value).partition(" ")
            if scheme.lower() == BEARER and token:
                return token.strip()
        elif name == "x-api-key" and value:
            plain = str(value)
    return plain
