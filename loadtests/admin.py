"""The admin API as the load tests use it: create offers, push facts, end offers again."""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from uuid_utils.compat import uuid7

from guerdon.api.admin.v1 import fact_pb2, fact_service_pb2, offer_admin_service_pb2, offer_pb2
from guerdon.api.admin.v1.fact_service_pb2_grpc import FactServiceStub
from guerdon.api.admin.v1.offer_admin_service_pb2_grpc import OfferAdminServiceStub
from guerdon.domain.api_keys import parse_key
from guerdon.limits import FACTS_ITEMS_MAX

# The demo tenant's: amounts of other currencies would be refused.
CURRENCY = "NGN"
TOPUPS_EACH = 3
# Seconds for one call: a push of a thousand facts to a busy machine fits.
CALL_SECONDS_MAX = 20.0

Item = TypeVar("Item")


class Admin:
    """Calls with one API key. Raises grpc.RpcError."""

    def __init__(self, channel: grpc.Channel, api_key: str) -> None:
        self._metadata = (("authorization", f"Bearer {api_key}"),)
        self._offers = OfferAdminServiceStub(channel)
        self._facts = FactServiceStub(channel)

    def create_offer(self, offer: offer_pb2.Offer) -> UUID:
        """Its id."""
        request = offer_admin_service_pb2.CreateOfferRequest(offer=offer)
        created = self._offers.CreateOffer(
            request, timeout=CALL_SECONDS_MAX, metadata=self._metadata
        )
        return UUID(created.offer_id)

    def cancel_offer(self, offer_id: UUID) -> None:
        """Nothing of a load test shall stay on offer."""
        self._offers.ChangeOfferStatus(
            offer_admin_service_pb2.ChangeOfferStatusRequest(
                offer_id=str(offer_id), status="cancelled"
            ),
            timeout=CALL_SECONDS_MAX,
            metadata=self._metadata,
        )

    def push_customers(self, customer_ids: Sequence[UUID]) -> None:
        """New accounts, opened yesterday."""
        created = as_timestamp(datetime.now(UTC) - timedelta(days=1))
        for part in parts_of(customer_ids):
            customers = [
                fact_pb2.Customer(customer_id=str(customer_id), created_time=created)
                for customer_id in part
            ]
            self._facts.PushCustomers(
                fact_service_pb2.PushCustomersRequest(customers=customers),
                timeout=CALL_SECONDS_MAX,
                metadata=self._metadata,
            )

    def push_topups(self, customer_ids: Sequence[UUID]) -> None:
        """TOPUPS_EACH for each customer, on as many days."""
        now = datetime.now(UTC)
        pairs = [(customer, day) for customer in customer_ids for day in range(1, TOPUPS_EACH + 1)]
        for part in parts_of(pairs):
            transactions = [
                fact_pb2.Transaction(
                    transaction_id=str(uuid7()),
                    customer_id=str(customer_id),
                    kind=fact_pb2.TRANSACTION_KIND_TOPUP,
                    status=fact_pb2.TRANSACTION_STATUS_SUCCEEDED,
                    amount_minor=50_000,
                    currency=CURRENCY,
                    occurred_time=as_timestamp(now - timedelta(days=days)),
                )
                for customer_id, days in part
            ]
            self._facts.PushTransactions(
                fact_service_pb2.PushTransactionsRequest(transactions=transactions),
                timeout=CALL_SECONDS_MAX,
                metadata=self._metadata,
            )


@contextlib.contextmanager
def admin_of(address: str, api_key: str) -> Iterator[Admin]:
    """Over a channel of its own."""
    with grpc.insecure_channel(address) as channel:
        grpc.channel_ready_future(channel).result(CALL_SECONDS_MAX)
        yield Admin(channel, api_key)


def tenant_of(api_key: str) -> UUID:
    """The tenant that the key belongs to. Raises ValueError for what is not a key."""
    parsed = parse_key(api_key)
    if parsed is None:
        raise ValueError("this is not an API key of Guerdon")
    return UUID(str(parsed.tenant_id))


def as_timestamp(moment: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def parts_of(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """As many at a time as one push may carry."""
    for start in range(0, len(items), FACTS_ITEMS_MAX):
        yield items[start : start + FACTS_ITEMS_MAX]
