"""Params that no admin could have written by the API: the rule fails, and nothing is raised."""

import json
from typing import Any

import asyncpg
import pytest

from guerdon.adapters.postgres.connection import Database
from guerdon.adapters.postgres.facts import PostgresFacts
from guerdon.domain.facts import CustomerFacts
from guerdon.domain.identifiers import CustomerId
from guerdon.domain.refusals import RefusalReason
from guerdon.domain.rules import RULE_TYPES, WrittenRule, compile_rules
from tests.support.facts import NOW, insert_rules, judge, judge_all, transaction
from tests.support.ledger import insert_offer, insert_tenant, new_id

OPERATOR = "64d1f75e-00e4-4d9c-af27-fef057501700"
GOOD: dict[str, dict[str, Any]] = {
    "new_user": {"account_age_days": 1},
    "min_topups": {"count": 1, "window_days": 1},
    "min_transactions": {"count": 1},
    "min_spent": {"amount_minor": 1, "window_days": 1},
    "operator_topup_count": {"operator_id": OPERATOR, "count": 1, "window_days": 1},
    "operator_spent": {"operator_id": OPERATOR, "amount_minor": 1, "window_days": 1},
    "last_active_within": {"days": 1},
    "active_days": {"min_active_days": 1, "days": 1},
}
OPTIONAL = {"window_days"}
BAD_VALUES: list[Any] = [
    None, True, "1", "", "1; drop table guerdon.offers", "' or 1=1 --", [1], {"count": 1}, [], {},
    -1, 0.5, 1e-9, 2**53, 2**63, 10**40, -(10**40), "NaN", "Infinity",
    "00000000-0000-0000-0000-000000000000", OPERATOR + "0", "x" * 10_000,
]  # fmt: skip
BAD = [
    (rule_type, name, value)
    for rule_type, params in GOOD.items()
    for name in params
    for value in BAD_VALUES
]


async def test_no_bad_param_passes_or_raises(
    shared_database: Database, shared_owner: asyncpg.Connection
) -> None:
    tenant = await insert_tenant(shared_owner)
    customer = CustomerId(new_id())
    store = PostgresFacts(shared_database)
    facts = CustomerFacts(customer_id=customer, created_at=NOW)
    await store.upsert_customers(tenant, [facts])
    await store.record_transactions(
        tenant, [transaction(customer, occurred_at=NOW, operator_id=OPERATOR)]
    )
    good = await insert_offer(shared_owner, tenant)
    await insert_rules(shared_owner, tenant, good, *GOOD.items())
    judgement = await judge(shared_database, tenant, good, customer)
    assert judgement.verdict == 0, judgement.rules

    offers = []
    for start in range(0, len(BAD), 50):
        offers.append(await insert_offer(shared_owner, tenant, eligibility_logic="any"))
        rules = [
            (rule_type, GOOD[rule_type] | {name: value})
            for rule_type, name, value in BAD[start : start + 50]
        ]
        await insert_rules(shared_owner, tenant, offers[-1], *rules)
    judgements = await judge_all(shared_database, tenant, [(offer, customer) for offer in offers])
    results = [rule for judgement in judgements for rule in judgement.rules]
    assert len(results) == len(BAD)
    for (rule_type, name, value), result in zip(BAD, results, strict=True):
        said = f"{rule_type} {name}={str(value)[:50]!r}: {result}"
        assert not result.passed, said
        assert (result.required, result.actual) == (None, None), said
        assert result.problem is not None, said
        assert result.problem.startswith(f"param {name} is not "), said
    assert {judgement.verdict for judgement in judgements} == {RefusalReason.NOT_ELIGIBLE}


@pytest.mark.parametrize("rule_type", GOOD)
async def test_a_param_that_is_missing_fails_unless_it_is_optional(
    rule_type: str, shared_database: Database, shared_owner: asyncpg.Connection
) -> None:
    tenant = await insert_tenant(shared_owner)
    offer = await insert_offer(shared_owner, tenant)
    names = list(GOOD[rule_type])
    rules = [
        (rule_type, {key: value for key, value in GOOD[rule_type].items() if key != name})
        for name in names
    ]
    await insert_rules(shared_owner, tenant, offer, *rules)
    customer = CustomerId(new_id())
    await PostgresFacts(shared_database).upsert_customers(
        tenant, [CustomerFacts(customer_id=customer)]
    )
    judgement = await judge(shared_database, tenant, offer, customer)
    for name, result in zip(names, judgement.rules, strict=True):
        is_broken = (result.problem or "").startswith(f"param {name} is not ")
        assert is_broken == (name not in OPTIONAL), result


@pytest.mark.parametrize(
    ("rule_type", "params", "problem"),
    [
        ("min_friends", {"count": 1}, "the rule type is not known"),
        ("", {}, "the rule type is not known"),
        ("min_topups", {"count": 1, "window_days": 367},
         "param window_days is not a whole number from 1 to 366"),
        ("last_active_within", {"days": 367}, "param days is not a whole number from 1 to 366"),
        ("min_topups", {"count": 0},
         "param count is not a whole number from 1 to 9007199254740991"),
    ],
)  # fmt: skip
async def test_what_the_catalogue_does_not_know_fails(
    rule_type: str, params: dict[str, Any], problem: str,
    shared_database: Database, shared_owner: asyncpg.Connection,
) -> None:  # fmt: skip
    tenant = await insert_tenant(shared_owner)
    offer = await insert_offer(shared_owner, tenant)
    await insert_rules(shared_owner, tenant, offer, (rule_type, params))
    judgement = await judge(shared_database, tenant, offer, new_id())
    assert judgement.verdict == RefusalReason.NOT_ELIGIBLE
    (result,) = judgement.rules
    assert (result.passed, result.required, result.problem) == (False, None, problem)


async def test_every_rule_that_the_catalogue_compiles_is_understood(
    shared_database: Database, shared_owner: asyncpg.Connection
) -> None:
    """Each rule type with every param at its least and at its greatest value."""
    written = []
    for rule_type in RULE_TYPES.values():
        for bound in ("minimum", "maximum"):
            params: dict[str, Any] = {}
            for param in rule_type.params:
                match param.kind.value:
                    case "integer":
                        params[param.name] = getattr(param, bound)
                    case "amount":
                        params[param.name] = 0.01 if bound == "minimum" else 10**13
                    case "operator_id":
                        params[param.name] = OPERATOR
            written.append(WrittenRule(rule_type=rule_type.name, params=params))
    rules, violations = compile_rules(written, "NGN")
    assert violations == []
    tenant = await insert_tenant(shared_owner)
    offer = await insert_offer(shared_owner, tenant)
    kept = [(rule.rule_type, json.loads(json.dumps(rule.params))) for rule in rules]
    await insert_rules(shared_owner, tenant, offer, *kept)
    customer = CustomerId(new_id())
    store = PostgresFacts(shared_database)
    await store.upsert_customers(tenant, [CustomerFacts(customer_id=customer, created_at=NOW)])
    await store.record_transactions(tenant, [transaction(customer)])
    judgement = await judge(shared_database, tenant, offer, customer)
    assert [rule.problem for rule in judgement.rules] == [None] * len(written)
    assert None not in [rule.actual for rule in judgement.rules]
