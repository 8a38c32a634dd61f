"""The rows of the benchmark: what each is called and which answer it expects, in their order."""

import msgspec

from loadtests.bench.plan import BATCH_ITEMS, BATCH_SIZES, batch_row

OK = "OK"
SPENT = "RESOURCE_EXHAUSTED"


class RowKind(msgspec.Struct, frozen=True):
    """`expected` is the status of the answers that count; others only show."""

    title: str
    expected: str = OK
    items_per_call: int = 1


ROWS: dict[str, RowKind] = {
    "echo": RowKind("An empty call of the same gRPC stack"),
    "textbook": RowKind("The textbook transaction, one statement after the other"),
    "one_call": RowKind("The textbook transaction as one function"),
    "hot": RowKind("Redeem of one hot offer"),
    "spread": RowKind("Redeem, over 1,000 offers"),
    "refusal": RowKind("Redeem of a sold-out offer", SPENT),
    "check": RowKind("CheckEligibility"),
    "quote": RowKind("Quote"),
    "batch": RowKind("RedeemBatch of 100, one hot offer", items_per_call=BATCH_ITEMS),
    "empty": RowKind("Redeem of one hot offer, before anything else"),
    "full": RowKind("Redeem of one hot offer among 10,000, after 1 million redemptions"),
    "cold": RowKind("Redeem, over 1,000 of 10,000 offers, after 1 million redemptions"),
    "fresh": RowKind("Redeem of one hot offer, from an empty, freshly migrated database on"),
}
BATCH_ROWS: dict[str, RowKind] = {
    batch_row(items): RowKind(f"RedeemBatch of {items}", items_per_call=items)
    for items in BATCH_SIZES
}
KINDS = ROWS | BATCH_ROWS
