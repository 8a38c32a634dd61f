"""The SQL functions that lock an offer, built so that a session stops between their steps.

A gate is a wait for an advisory lock, put into the function's text before what must not have been
done yet. Whoever holds the lock (sessions.py: Gatekeeper) thereby decides when the session goes on.
Nothing else is changed but the lock timeout, as a session may stand at a gate for long.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.support.functions import replace_once, text_of

# Function -> text before which a gate stands, in the order of its steps. Each occurs once.
GATES = {
    "redeem_v1": (
        # Started; then the lock is taken.
        "  perform from unnest(array(select w.offer_id",
        # Locked; then it reads.
        "  o_now := clock_timestamp();",
        # Read; then it decides.
        "  for i in 1 .. v_items loop",
        # Decided; then it writes.
        "  insert into guerdon.redemptions (",
        # The redemption is written; then lines and counters are.
        "  insert into guerdon.redemption_lines (",
    ),
    "write_offer_v1": (
        "  if p_expected_version > 0 then",
        # Locked.
        "    select o.updated_at into o_updated_at",
        # Read.
        "  o_written := true;",
        # The offer is written, and its counter.
        "  insert into guerdon.offer_versions (",
    ),
    "revoke_v1": (
        "  o_revoked_at := clock_timestamp();\n  insert into guerdon.redemptions (",
        # The request id is known to be taken.
        "  select r.offer_id, r.revoked_at into v_redemption",
        # Locked.
        "  select r.* into v_redemption",
        # Read.
        "  if v_redemption.revoked_at is not null then",
        # The redemption is revoked; then the counters follow.
        "    update guerdon.offer_counters c",
    ),
}
# For pairs that hardly wait for one another, so that nearly every merge is a schedule of its own:
# the gates around what they do meet at, the request id or the offer's lock.
FEWER_GATES = GATES | {
    "redeem_v1": GATES["redeem_v1"][3:],
    "revoke_v1": GATES["revoke_v1"][2:4],
}
GATES_MAX = max(len(gates) for gates in GATES.values())

_LOCK_TIMEOUTS = {
    "redeem_v1": ("set lock_timeout = '2000ms'", "set lock_timeout = 0"),
    "write_offer_v1": ("p_lock_timeout_milliseconds::text, true", "'0', true"),
    "revoke_v1": ("set lock_timeout = '2000ms'", "set lock_timeout = 0"),
}


@dataclass(frozen=True)
class Bug:
    """A change of one function's text that makes it wrong, but only when sessions interleave."""

    function: str
    change: Callable[[str], str]


def build(function: str, gates: Sequence[str], bug: Bug | None) -> str:
    """The function's text with the gates, and with the bug when it is one of this function."""
    text = replace_once(text_of(function), *_LOCK_TIMEOUTS[function])
    if bug is not None and bug.function == function:
        text = bug.change(text)
    for number, place in enumerate(gates):
        text = replace_once(text, place, _gate(number) + place)
    return text


def _gate(number: int) -> str:
    session = "current_setting('isolation.session')::integer"
    return f"  perform pg_advisory_xact_lock_shared({session}, {number});\n"


def move(text: str, start: str, end: str, before: str) -> str:
    """The text from `start` to the next `end`, both included, put in front of `before`."""
    begin = replace_once(text, start, start).index(start)
    moved = text[begin : text.index(end, begin) + len(end)]
    return replace_once(replace_once(text, moved, ""), before, moved + before)
