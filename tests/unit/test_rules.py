"""The rule catalogue: what it keeps, what it refuses and where, and what it tells others."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guerdon import limits
from guerdon.domain.errors import FieldViolation
from guerdon.domain.offers import Rule
from guerdon.domain.rule_documents import json_schema, markdown_table
from guerdon.domain.rules import (
    RULE_TYPES,
    Param,
    ParamKind,
    WrittenRule,
    compile_rules,
    write_rule,
)

OPERATOR = "64d1f75e-00e4-4d9c-af27-fef057501400"

VALID: dict[str, dict[str, Any]] = {
    "new_user": {"account_age_days": 7},
    "min_topups": {"count": 3, "window_days": 30},
    "min_transactions": {"count": 1},
    "min_spent": {"amount": 5000, "window_days": 30},
    "operator_topup_count": {"operator_id": OPERATOR, "count": 2},
    "operator_spent": {"operator_id": OPERATOR, "amount": 10.5, "window_days": 366},
    "last_active_within": {"days": 14},
    "active_days": {"min_active_days": 3, "days": 7},
}


def written(rule_type: str, params: object, **changes: str) -> WrittenRule:
    return WrittenRule(rule_type=rule_type, params=params, **changes)


def kept_params(rule_type: str, params: object) -> dict[str, Any]:
    rules, violations = compile_rules([written(rule_type, params)], "NGN")
    assert not violations
    return rules[0].params


def paths(rule_type: str, params: object) -> list[str]:
    rules, violations = compile_rules([written(rule_type, params)], "NGN")
    assert bool(violations) == (not rules)
    return [violation.path.removeprefix("offer.rules[0].") for violation in violations]


def values_of(param: Param) -> st.SearchStrategy[Any]:
    match param.kind:
        case ParamKind.INTEGER:
            return st.integers(param.minimum, param.maximum)
        case ParamKind.AMOUNT:
            return st.integers(1, limits.UNIT_PRICE_MINOR_MAX).map(lambda minor: minor / 100)
        case ParamKind.OPERATOR_ID:
            return st.uuids().map(str)


def params_of(rule_type: str) -> st.SearchStrategy[dict[str, Any]]:
    params = RULE_TYPES[rule_type].params
    return st.fixed_dictionaries(
        {param.name: values_of(param) for param in params if param.required},
        optional={param.name: values_of(param) for param in params if not param.required},
    )


rules_as_written = st.sampled_from(sorted(set(RULE_TYPES) - {"active_days"})).flatmap(
    lambda rule_type: params_of(rule_type).map(lambda params: written(rule_type, params))
)
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def test_the_catalogue_has_the_eight_rules_of_the_requirements() -> None:
    assert set(RULE_TYPES) == set(VALID)


@pytest.mark.parametrize("rule_type", VALID)
def test_the_params_of_the_payloads_are_kept(rule_type: str) -> None:
    params = VALID[rule_type]
    expected = {name: value for name, value in params.items() if name != "amount"}
    if "amount" in params:
        expected["amount_minor"] = round(params["amount"] * 100)
    assert kept_params(rule_type, params) == expected


@given(rules_as_written)
def test_a_rule_leads_back_to_what_was_written(rule: WrittenRule) -> None:
    (kept,), violations = compile_rules([rule], "NGN")
    assert not violations
    assert write_rule(kept, "NGN").params == rule.params
    assert compile_rules([write_rule(kept, "NGN")], "NGN") == ((kept,), [])


@given(st.sampled_from(sorted(VALID)), json_values | params_of("min_spent"))
def test_any_json_is_kept_or_refused_with_a_path(rule_type: str, params: object) -> None:
    rules, violations = compile_rules([written(rule_type, params)], "NGN")
    assert bool(rules) != bool(violations)
    assert all(one.path.startswith("offer.rules[0].params") for one in violations)


def test_whole_doubles_are_integers_because_a_struct_has_no_others() -> None:
    kept = kept_params("min_topups", {"count": 3.0, "window_days": 30.0})
    assert [type(value) for value in kept.values()] == [int, int]


def test_a_null_for_an_optional_param_is_as_good_as_none() -> None:
    assert kept_params("min_topups", {"count": 3, "window_days": None}) == {"count": 3}


def test_an_operator_id_is_kept_in_lower_case() -> None:
    kept = kept_params("operator_topup_count", {"operator_id": OPERATOR.upper(), "count": 1})
    assert kept["operator_id"] == OPERATOR


@pytest.mark.parametrize(
    ("currency", "amount", "amount_minor"),
    [("JPY", 500, 500), ("NGN", 5000, 500_000), ("KWD", 1.005, 1005), ("CLF", 0.0001, 1)],
)
def test_amounts_are_kept_in_minor_units(currency: str, amount: float, amount_minor: int) -> None:
    rules, _ = compile_rules([written("min_spent", {"amount": amount})], currency)
    assert rules[0].params == {"amount_minor": amount_minor}


@pytest.mark.parametrize(
    "count",
    [0, -1, 2.5, 10**10, 2**63, 10**5000, True, "3", "1; drop table offers", [3], {}, float("nan")],
    ids=lambda value: str(value)[:20] if not isinstance(value, int) or value < 2**64 else "huge",
)
def test_a_count_is_a_whole_number_over_0(count: object) -> None:
    assert paths("min_topups", {"count": count}) == ["params.count"]


@pytest.mark.parametrize("days", [0, limits.RULE_WINDOW_DAYS_MAX + 1, -7, 1.5, "7", False])
@pytest.mark.parametrize(
    ("rule_type", "name"),
    [
        ("min_topups", "window_days"),
        ("min_spent", "window_days"),
        ("operator_topup_count", "window_days"),
        ("operator_spent", "window_days"),
        ("last_active_within", "days"),
        ("active_days", "days"),
        ("active_days", "min_active_days"),
    ],
)
def test_days_are_bounded(rule_type: str, name: str, days: object) -> None:
    assert paths(rule_type, VALID[rule_type] | {name: days}) == [f"params.{name}"]


@pytest.mark.parametrize("amount", [0, -5, "5000", 10.005, 1e14, True, float("inf"), [], {}])
def test_an_amount_is_a_number_over_0_of_the_currencys_decimals(amount: object) -> None:
    assert paths("min_spent", {"amount": amount}) == ["params.amount"]


@pytest.mark.parametrize(
    "operator_id", ["", "MTN", OPERATOR.replace("-", ""), f"{{{OPERATOR}}}", 7, "0" * 8, None]
)
def test_an_operator_is_a_uuid(operator_id: object) -> None:
    assert paths("operator_topup_count", {"operator_id": operator_id, "count": 1}) == [
        "params.operator_id"
    ]


def test_all_zeros_name_no_operator() -> None:
    zeros = "00000000-0000-0000-0000-000000000000"
    assert paths("operator_spent", {"operator_id": zeros, "amount": 1}) == ["params.operator_id"]


@pytest.mark.parametrize("rule_type", VALID)
@pytest.mark.parametrize("params", [None, {}, [], "{}", 7])
def test_missing_params_are_told_each(rule_type: str, params: object) -> None:
    required = [param.name for param in RULE_TYPES[rule_type].params if param.required]
    told = paths(rule_type, params)
    assert told == [f"params.{name}" for name in required] or told == ["params"]


def test_every_wrong_param_is_told_at_once() -> None:
    params = {"operator_id": "x", "amount": -1, "window_days": 0, "days": 3, "Count": 1}
    assert paths("operator_spent", params) == [
        "params.days",
        "params.Count",
        "params.operator_id",
        "params.amount",
        "params.window_days",
    ]


def test_more_active_days_than_days_can_never_be() -> None:
    assert paths("active_days", {"min_active_days": 8, "days": 7}) == ["params.min_active_days"]


def test_nesting_however_deep_is_refused() -> None:
    nested: object = 3
    for _ in range(5000):
        nested = [nested]
    assert paths("min_topups", {"count": nested}) == ["params.count"]
    assert paths("min_topups", {"count": 3, "more": nested}) == ["params.more"]


def test_a_huge_blob_gets_a_short_answer() -> None:
    blob = {f"{number}\0{'x' * 1000}": "y" * 1000 for number in range(1000)}
    _, violations = compile_rules([written("min_topups", {"count": 3} | blob)], "NGN")
    assert len(violations) == 11
    assert violations[-1].description == "has 990 more that are not params"
    assert all(len(one.path) < 120 and one.path.isprintable() for one in violations)


def test_an_unknown_rule_type_is_told_with_those_there_are() -> None:
    _, violations = compile_rules([written("min_topup", {"count": 3})], "NGN")
    assert [one.path for one in violations] == ["offer.rules[0].rule_type"]
    assert "min_topups" in violations[0].description


def test_keys_left_out_are_made_from_the_type_around_those_given() -> None:
    rules, _ = compile_rules(
        [
            written("min_topups", {"count": 1}),
            written("min_topups", {"count": 2}),
            written("min_topups", {"count": 3}, rule_key="min_topups_2"),
            written("new_user", {"account_age_days": 7}),
            written("min_topups", {"count": 4}),
        ],
        "NGN",
    )
    assert [rule.rule_key for rule in rules] == [
        "min_topups",
        "min_topups_3",
        "min_topups_2",
        "new_user",
        "min_topups_4",
    ]


def test_a_key_given_twice_is_refused() -> None:
    twins = [written("min_transactions", {"count": 1}, rule_key="once") for _ in range(2)]
    assert compile_rules(twins, "NGN")[1] == [
        FieldViolation("offer.rules[1].rule_key", "is that of rules[0] already")
    ]


@pytest.mark.parametrize("key", [" x", "a\tb", "zero\u200bwidth", "k" * 65, " "])
def test_a_key_is_short_and_visible(key: str) -> None:
    rules = [written("min_transactions", {"count": 1}, rule_key=key)]
    assert [one.path for one in compile_rules(rules, "NGN")[1]] == ["offer.rules[0].rule_key"]


def test_an_offer_has_so_many_rules_and_no_more() -> None:
    rule = written("min_transactions", {"count": 1})
    rules, violations = compile_rules([rule] * limits.OFFER_RULES_MAX, "NGN")
    assert len({one.rule_key for one in rules}) == limits.OFFER_RULES_MAX
    assert not violations
    too_many = compile_rules([rule] * (limits.OFFER_RULES_MAX + 1), "NGN")
    assert [one.path for one in too_many[1]] == ["offer.rules"]


def test_the_sample_offers_rules_are_kept_as_they_are_named() -> None:
    rules, violations = compile_rules(
        [
            written("new_user", {"account_age_days": 7}, rule_key="new_user_7d"),
            written(
                "min_topups",
                {"count": 3, "window_days": 30},
                rule_key="3_topups_30d",
                description="Users with 3 or more top-ups in 30 days",
            ),
        ],
        "NGN",
    )
    assert not violations
    assert rules[1] == Rule(
        "3_topups_30d",
        "min_topups",
        {"count": 3, "window_days": 30},
        "Users with 3 or more top-ups in 30 days",
    )


def test_the_schema_names_every_type_with_its_params_and_bounds() -> None:
    branches = json_schema("NGN")["items"]["oneOf"]
    schemas = {branch["properties"]["rule_type"]["const"]: branch for branch in branches}
    assert set(schemas) == set(RULE_TYPES)
    for name, params in VALID.items():
        schema = schemas[name]["properties"]["params"]
        assert set(params) <= set(schema["properties"])
        assert set(schema["required"]) <= set(params)
        assert schema["additionalProperties"] is False
    active_days = schemas["active_days"]["properties"]["params"]["properties"]
    assert active_days["days"]["maximum"] == limits.RULE_WINDOW_DAYS_MAX
    assert json_schema("JPY") != json_schema("NGN")


def test_the_table_has_a_row_for_every_type() -> None:
    rows = markdown_table().splitlines()[2:]
    assert [row.split("`")[1] for row in rows] == list(RULE_TYPES)
    assert all(row.count("|") == 4 for row in rows)
