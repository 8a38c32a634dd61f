"""FactService: facts from their messages to the control plane."""

from collections.abc import AsyncIterator

from guerdon.api.admin.v1 import fact_service_pb2 as service_pb2
from guerdon.controlplane.push_facts import PushFacts
from guerdon.domain.errors import FieldsInvalid, FieldViolation
from guerdon.transport.call import Call
from guerdon.transport.fact_messages import (
    read_activities,
    read_customer,
    read_operator,
    read_product,
    read_supplier,
    read_transaction,
    write_counts,
)

SERVICE = service_pb2.DESCRIPTOR.services_by_name["FactService"]


class FactServicer:
    """Answers FactService. Messages have passed the pipeline."""

    def __init__(self, facts: PushFacts) -> None:
        self._facts = facts

    async def push_customers(
        self, message: service_pb2.PushCustomersRequest, call: Call
    ) -> service_pb2.PushCustomersResponse:
        customers = [read_customer(customer) for customer in message.customers]
        counts = await self._facts.push_customers(call.tenant_id, customers)
        return service_pb2.PushCustomersResponse(counts=write_counts(counts))

    async def push_products(
        self, message: service_pb2.PushProductsRequest, call: Call
    ) -> service_pb2.PushProductsResponse:
        products = [read_product(product) for product in message.products]
        counts = await self._facts.push_products(call.tenant_id, products)
        return service_pb2.PushProductsResponse(counts=write_counts(counts))

    async def push_operators(
        self, message: service_pb2.PushOperatorsRequest, call: Call
    ) -> service_pb2.PushOperatorsResponse:
        operators = [read_operator(operator) for operator in message.operators]
        counts = await self._facts.push_operators(call.tenant_id, operators)
        return service_pb2.PushOperatorsResponse(counts=write_counts(counts))

    async def push_suppliers(
        self, message: service_pb2.PushSuppliersRequest, call: Call
    ) -> service_pb2.PushSuppliersResponse:
        suppliers = [read_supplier(supplier) for supplier in message.suppliers]
        counts = await self._facts.push_suppliers(call.tenant_id, suppliers)
        return service_pb2.PushSuppliersResponse(counts=write_counts(counts))

    async def push_transactions(
        self, message: service_pb2.PushTransactionsRequest, call: Call
    ) -> service_pb2.PushTransactionsResponse:
        transactions = [read_transaction(transaction) for transaction in message.transactions]
        counts = await self._facts.push_transactions(call.tenant_id, transactions)
        return service_pb2.PushTransactionsResponse(counts=write_counts(counts))

    async def push_activity(
        self, message: service_pb2.PushActivityRequest, call: Call
    ) -> service_pb2.PushActivityResponse:
        activities = read_activities(message.activities)
        counts = await self._facts.push_activities(call.tenant_id, activities)
        return service_pb2.PushActivityResponse(counts=write_counts(counts))

    async def stream_transactions(
        self, messages: AsyncIterator[service_pb2.StreamTransactionsRequest], call: Call
    ) -> AsyncIterator[service_pb2.StreamTransactionsResponse]:
        """One chunk after the other: an answer says that its chunk is durable."""
        expected = 1
        async for message in messages:
            if message.chunk_number != expected:
                text = f"must be {expected}: chunks are numbered from 1 without gaps"
                raise FieldsInvalid([FieldViolation("chunk_number", text)])
            transactions = [read_transaction(transaction) for transaction in message.transactions]
            counts = await self._facts.push_transactions(call.tenant_id, transactions)
            yield service_pb2.StreamTransactionsResponse(
                chunk_number=expected, counts=write_counts(counts)
            )
            expected += 1
