"""What the benchmark's servers work on: the same customers, offer and rules on both sides."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
from google.protobuf.json_format import ParseDict
from uuid_utils.compat import uuid7

from guerdon.api.admin.v1.offer_pb2 import Offer
from loadtests.admin import TOPUPS_EACH, Admin
from loadtests.bench.rivals.one_call import FUNCTION
from loadtests.bench.rivals.textbook import SCHEMA

ACCOUNT_AGE_DAYS = 7
WINDOW_DAYS = 30
RULES = [
    {"ruleType": "new_user", "params": {"account_age_days": ACCOUNT_AGE_DAYS}},
    {"ruleType": "min_topups", "params": {"count": TOPUPS_EACH, "window_days": WINDOW_DAYS}},
]


def offer_with_rules(total_limit: int, per_customer_limit: int) -> Offer:
    """10 % off for everyone who passes two rules, by code only, so that it comes up by itself
    nowhere."""
    written = {
        "title": "Load test",
        "code": f"LOAD-{uuid7().hex[-12:]}",
        "status": "active",
        "discountType": "percentage",
        "discountValue": 10,
        "totalUsageLimit": total_limit,
        "perUserLimit": per_customer_limit,
        "rules": RULES,
    }
    return ParseDict(written, Offer())


def prepare_guerdon(admin: Admin, customers: Sequence[UUID]) -> None:
    """The facts by which the customers pass both rules."""
    admin.push_customers(customers)
    admin.push_topups(customers)


async def prepare_textbook(
    database_url: str,
    offer_id: UUID,
    customers: Sequence[UUID],
    total_limit: int,
    per_customer_limit: int,
) -> None:
    """The same in the textbook's schema, with planner statistics as autovacuum would make them."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(SCHEMA.read_text())
        await connection.execute(FUNCTION.read_text())
        await connection.execute(
            "insert into textbook.offers (id, status, per_user_limit, total_usage_limit)"
            " values ($1, 'active', $2, $3)",
            offer_id, per_customer_limit, total_limit,
        )  # fmt: skip
        await connection.executemany(
            "insert into textbook.offer_eligibility_rules (offer_id, rule_type, params)"
            " values ($1, $2, $3::text::jsonb)",
            [
                (offer_id, "new_user", f'{{"account_age_days": {ACCOUNT_AGE_DAYS}}}'),
                (
                    offer_id,
                    "min_topups",
                    f'{{"count": {TOPUPS_EACH}, "window_days": {WINDOW_DAYS}}}',
                ),
            ],
        )
        await connection.execute(
            "insert into textbook.users (id, created_at)"
            " select id, now() - interval '1 day' from unnest($1::uuid[]) as c (id)",
            customers,
        )
        await connection.execute(
            "insert into textbook.topup_requests (user_id, status, created_at)"
            " select id, 'succeeded', now() - day * interval '1 day'"
            " from unnest($1::uuid[]) as c (id), generate_series(1, $2::integer) as day",
            customers, TOPUPS_EACH,
        )  # fmt: skip
        await connection.execute(
            "analyze textbook.users, textbook.topup_requests, textbook.offer_eligibility_rules"
        )
    finally:
        await connection.close()
