"""Histories as the lab's clients write them, made by hand."""

from pathlib import Path
from uuid import UUID

from loadtests.faults.intents import Hearing, Intent, IntentLog, Method, Sending
from loadtests.history import Answer
from tests.support.ledger import new_id


class Scribe:
    """Writes what a client would have written, at the times that a test says."""

    def __init__(self, path: Path, tenant_id: UUID, offer_id: UUID) -> None:
        self.path = path
        self.tenant_id = tenant_id
        self.offer_id = offer_id
        self.log = IntentLog(path)

    def intent(self, customer_id: UUID | None = None) -> Intent:
        intent = Intent(
            new_id(), self.tenant_id, self.offer_id, customer_id or new_id(), other_quantity=3
        )
        self.log.write(intent)
        return intent

    def sent(self, intent: Intent, at: float, method: Method = Method.REDEEM) -> int:
        number = self.log.next_number()
        self.log.write(Sending(number, intent.request_id, method, at))
        return number

    def heard(self, number: int, answer: Answer) -> None:
        self.log.write(
            Hearing(number, answer.answered_at, answer.code, answer.body, answer.replayed)
        )
