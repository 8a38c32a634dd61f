"""ports.Authenticator: API keys, proved by Postgres and remembered for a short while."""

import asyncio
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from guerdon.adapters.single_flight import SingleFlight
from guerdon.domain.api_keys import KEY_CHARACTERS, PresentedKey, hash_secret, parse_key
from guerdon.domain.errors import Overloaded, Unauthenticated
from guerdon.limits import (
    AUTHENTICATED_KEYS_MAX,
    CATALOGUE_AGE_SECONDS_MAX,
    KEY_LOOKUPS_MAX,
    KEY_LOOKUPS_WAITING_MAX,
)
from guerdon.ports import ApiKeyStore, Caller, Change, ChangeKind, KeyProof
from guerdon.telemetry import Metrics

MISSING, INVALID = "API_KEY_MISSING", "API_KEY_INVALID"
EXPIRED, REVOKED = "API_KEY_EXPIRED", "API_KEY_REVOKED"


class _Verdict(msgspec.Struct, frozen=True):
    """What a key was found to be: a caller, or the reason why not. Holds until `until`."""

    caller: Caller | str
    until: float


class KeyAuthenticator:
    """See ports.Authenticator and ports.ChangeSink. `clock` is monotonic, in seconds.

    An unknown tenant, an unknown key and a wrong secret are one answer, INVALID, and take the same
    way to it. Only who has the secret is told that a key expired or was revoked.
    """

    def __init__(
        self, store: ApiKeyStore, pepper: bytes, clock: Callable[[], float], metrics: Metrics
    ) -> None:
        self._store = store
        self._pepper = pepper
        self._clock = clock
        self._metrics = metrics
        # Apart, so that a flood of bad keys drives out no good one.
        self._good: OrderedDict[bytes, _Verdict] = OrderedDict()
        self._bad: OrderedDict[bytes, _Verdict] = OrderedDict()
        self._changes = 0
        self._flights: SingleFlight[Caller | str] = SingleFlight()
        self._lookups = asyncio.Semaphore(KEY_LOOKUPS_MAX)
        self._waiting = 0

    async def close(self) -> None:
        """End the look-ups that are under way."""
        await self._flights.close()

    async def authenticate(self, presented_key: str) -> Caller:
        """A key that was seen a moment ago costs a hash of it."""
        if not presented_key:
            raise Unauthenticated(MISSING)
        if len(presented_key) != KEY_CHARACTERS:
            raise Unauthenticated(INVALID)
        digest = hashlib.sha256(presented_key.encode("utf-8", "replace")).digest()
        verdict = self._good.get(digest) or self._bad.get(digest)
        if verdict is not None and self._clock() < verdict.until:
            caller = verdict.caller
        else:
            caller = await self._look_up(digest, presented_key)
        if isinstance(caller, str):
            raise Unauthenticated(caller)
        return caller

    # ports.ChangeSink

    def apply(self, change: Change) -> None:
        """A changed key, or all of a changed tenant, is looked up again."""
        if change.kind not in (ChangeKind.KEY, ChangeKind.TENANT):
            return
        self._changes += 1
        for digest, verdict in list(self._good.items()):
            if isinstance(verdict.caller, Caller) and _concerns(change, verdict.caller):
                del self._good[digest]

    def forget_all(self) -> None:
        """Every key is looked up again."""
        self._changes += 1
        self._good.clear()
        self._bad.clear()

    async def _look_up(self, digest: bytes, presented_key: str) -> Caller | str:
        key = parse_key(presented_key)
        if key is None:
            return INVALID
        return await self._flights.fly((digest, self._changes), lambda: self._prove(digest, key))

    async def _prove(self, digest: bytes, key: PresentedKey) -> Caller | str:
        began, changes = self._clock(), self._changes
        proof = await self._read(key)
        caller = _judge(key, proof, self._pepper)
        seconds = CATALOGUE_AGE_SECONDS_MAX
        if isinstance(caller, Caller) and proof is not None and proof.seconds_left is not None:
            seconds = min(seconds, proof.seconds_left)
        if changes == self._changes:
            self._remember(digest, _Verdict(caller, began + seconds))
        self._metrics.catalogue_loaded("key", 1)
        return caller

    async def _read(self, key: PresentedKey) -> KeyProof | None:
        """Few at a time: a flood of made-up keys must not take the pool from those who redeem."""
        if self._waiting >= KEY_LOOKUPS_WAITING_MAX:
            raise Overloaded
        self._waiting += 1
        try:
            async with self._lookups:
                return await self._store.find_proof(key.tenant_id, key.key_id)
        finally:
            self._waiting -= 1

    def _remember(self, digest: bytes, verdict: _Verdict) -> None:
        is_good = isinstance(verdict.caller, Caller)
        verdicts, others = (self._good, self._bad) if is_good else (self._bad, self._good)
        others.pop(digest, None)
        verdicts[digest] = verdict
        verdicts.move_to_end(digest)
        if len(verdicts) > AUTHENTICATED_KEYS_MAX:
            verdicts.popitem(last=False)


def _judge(key: PresentedKey, proof: KeyProof | None, pepper: bytes) -> Caller | str:
    wanted = bytes(32) if proof is None else proof.secret_hash
    secret_is_right = hmac.compare_digest(hash_secret(pepper, key.secret), wanted)
    if proof is None or not secret_is_right:
        return INVALID
    if proof.revoked:
        return REVOKED
    if proof.seconds_left == 0:
        return EXPIRED
    return Caller(key.tenant_id, key.key_id, proof.scopes)


def _concerns(change: Change, caller: Caller) -> bool:
    return caller.tenant_id == change.tenant_id and (
        change.kind is ChangeKind.TENANT or caller.key_id == change.subject
    )
