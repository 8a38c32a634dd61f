"""The catalogue of eligibility rule types: the one source of their validation, schema and docs.

Params come as JSON, amounts in major units (`{"amount": 5000, "window_days": 30}`, as in the
payloads of 003), and are kept with amounts in minor units of the tenant's currency
(`{"amount_minor": 500000, "window_days": 30}`). What the SQL function reads is the kept form.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, assert_never
from uuid import UUID

import msgspec

from guerdon import limits
from guerdon.domain import money
from guerdon.domain.errors import FieldViolation
from guerdon.domain.identifiers import parse_uuid
from guerdon.domain.offers import Rule
from guerdon.domain.text import has_invisible, shorten

RULE_KEY_CHARACTERS_MAX: Final = 64
RULE_DESCRIPTION_CHARACTERS_MAX: Final = 1000
# Violations of one kind that are worth telling; the rest of a hostile blob is summed up.
_EXTRA_PARAMS_TOLD_MAX: Final = 10


class ParamKind(StrEnum):
    """What a param's JSON value must be."""

    INTEGER = "integer"
    """A number without decimals; 3.0 is 3, because google.protobuf.Struct has doubles only."""
    AMOUNT = "amount"
    """A number in major units of the tenant's currency, over 0."""
    OPERATOR_ID = "operator_id"
    """A UUID in text; all zeros stands for every operator in the rollups, so it names none."""


class Param(msgspec.Struct, frozen=True):
    """One param of a rule type. `minimum` and `maximum` are inclusive and bound integers only."""

    name: str
    kind: ParamKind
    description: str
    required: bool = True
    minimum: int = 1
    maximum: int = limits.RULE_COUNT_MAX

    @property
    def kept_name(self) -> str:
        """The key under which the compiled value is kept."""
        return "amount_minor" if self.kind is ParamKind.AMOUNT else self.name


class RuleType(msgspec.Struct, frozen=True):
    """One of the eight rule types; `meaning` completes "the customer qualifies if ..."."""

    name: str
    title: str
    meaning: str
    params: tuple[Param, ...]


class WrittenRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as an admin writes it; `params` is any JSON value, checked by the catalogue."""

    rule_key: str = ""
    rule_type: str = ""
    params: object = None
    description: str = ""


def _count(description: str) -> Param:
    return Param("count", ParamKind.INTEGER, description)


def _days(name: str, description: str, *, required: bool = True) -> Param:
    return Param(
        name, ParamKind.INTEGER, description, required, maximum=limits.RULE_WINDOW_DAYS_MAX
    )


_AMOUNT: Final = Param(
    "amount", ParamKind.AMOUNT, "Least sum, in major units of the tenant's currency."
)
_OPERATOR: Final = Param("operator_id", ParamKind.OPERATOR_ID, "The operator that counts.")
_WINDOW: Final = _days(
    "window_days",
    "Only the last so many days count, today included; left out: all time.",
    required=False,
)

RULE_TYPES: Final[Mapping[str, RuleType]] = MappingProxyType(
    {
        rule_type.name: rule_type
        for rule_type in (
            RuleType(
                "new_user",
                "New user",
                "the account was created at most account_age_days days ago",
                (
                    Param(
                        "account_age_days",
                        ParamKind.INTEGER,
                        "Greatest age of the account in days; 0 is an account of today.",
                        minimum=0,
                        maximum=limits.RULE_ACCOUNT_AGE_DAYS_MAX,
                    ),
                ),
            ),
            RuleType(
                "min_topups",
                "Minimum top-ups",
                "there are at least count succeeded top-ups (in the last window_days days)",
                (_count("Least number of top-ups."), _WINDOW),
            ),
            RuleType(
                "min_transactions",
                "Minimum transactions",
                "there are at least count succeeded transactions of any kind, ever",
                (_count("Least number of transactions."),),
            ),
            RuleType(
                "min_spent",
                "Minimum spend",
                "succeeded transactions sum up to at least amount (in the last window_days days)",
                (_AMOUNT, _WINDOW),
            ),
            RuleType(
                "operator_topup_count",
                "Top-ups with an operator",
                "there are at least count succeeded top-ups with the operator "
                "(in the last window_days days)",
                (_OPERATOR, _count("Least number of top-ups with the operator."), _WINDOW),
            ),
            RuleType(
                "operator_spent",
                "Spend with an operator",
                "succeeded transactions with the operator sum up to at least amount "
                "(in the last window_days days)",
                (_OPERATOR, _AMOUNT, _WINDOW),
            ),
            RuleType(
                "last_active_within",
                "Recently active",
                "there was activity in the last days days",
                (_days("days", "Days back, today included."),),
            ),
            RuleType(
                "active_days",
                "Active days",
                "there was activity on at least min_active_days distinct days of the last days",
                (
                    _days("min_active_days", "Least number of distinct days; at most days."),
                    _days("days", "Days back, today included."),
                ),
            ),
        )
    }
)


def compile_rules(
    written: Sequence[WrittenRule], tenant_currency: str, path: str = "offer.rules"
) -> tuple[tuple[Rule, ...], list[FieldViolation]]:
    """The rules as they are kept, with everything that is wrong with them.

    Rules with a violation are missing in the first part. A key left out is made from the type:
    `min_topups`, then `min_topups_2`, whatever is free.
    """
    if len(written) > limits.OFFER_RULES_MAX:
        return (), [FieldViolation(path, f"at most {limits.OFFER_RULES_MAX} rules")]
    violations = _check_keys(written, path)
    taken = {rule.rule_key for rule in written}
    compiled = []
    for index, rule in enumerate(written):
        found = _check_rule(rule, f"{path}[{index}]")
        params, params_found = _compile_params(rule, tenant_currency, f"{path}[{index}].params")
        violations += found + params_found
        if not found and not params_found:
            key = rule.rule_key or _free_key(rule.rule_type, taken)
            taken.add(key)
            compiled.append(Rule(key, rule.rule_type, params, rule.description))
    return tuple(compiled), violations


def write_rule(rule: Rule, tenant_currency: str) -> WrittenRule:
    """The rule as an admin wrote it: amounts in major units again."""
    params = dict(rule.params)
    if "amount_minor" in params:
        params["amount"] = money.major_from_minor(params.pop("amount_minor"), tenant_currency)
    return WrittenRule(
        rule_key=rule.rule_key,
        rule_type=rule.rule_type,
        params=params,
        description=rule.description,
    )


def _check_keys(written: Sequence[WrittenRule], path: str) -> list[FieldViolation]:
    first_index: dict[str, int] = {}
    violations = []
    for index, rule in enumerate(written):
        if not rule.rule_key:
            continue
        earlier = first_index.setdefault(rule.rule_key, index)
        if earlier != index:
            violations.append(
                FieldViolation(f"{path}[{index}].rule_key", f"is that of rules[{earlier}] already")
            )
    return violations


def _check_rule(rule: WrittenRule, path: str) -> list[FieldViolation]:
    violations = []
    if rule.rule_type not in RULE_TYPES:
        known = ", ".join(RULE_TYPES)
        violations.append(FieldViolation(f"{path}.rule_type", f"must be one of {known}"))
    key = rule.rule_key
    if len(key) > RULE_KEY_CHARACTERS_MAX or has_invisible(key) or key != key.strip():
        violations.append(
            FieldViolation(
                f"{path}.rule_key",
                f"must be at most {RULE_KEY_CHARACTERS_MAX} visible characters without spaces "
                "around them",
            )
        )
    if len(rule.description) > RULE_DESCRIPTION_CHARACTERS_MAX or "\0" in rule.description:
        violations.append(
            FieldViolation(
                f"{path}.description",
                f"must be at most {RULE_DESCRIPTION_CHARACTERS_MAX} characters, none of them NUL",
            )
        )
    return violations


def _free_key(rule_type: str, taken: set[str]) -> str:
    numbered = (f"{rule_type}_{number}" for number in range(2, limits.OFFER_RULES_MAX + 2))
    return next(key for key in (rule_type, *numbered) if key not in taken)


class _ParamInvalid(ValueError):
    """A value that its param does not take; the text says what it takes."""


def _compile_params(
    rule: WrittenRule, tenant_currency: str, path: str
) -> tuple[dict[str, Any], list[FieldViolation]]:
    rule_type = RULE_TYPES.get(rule.rule_type)
    if rule_type is None:
        return {}, []
    given = {} if rule.params is None else rule.params
    if not isinstance(given, Mapping):
        return {}, [FieldViolation(path, "must be an object")]
    violations = _check_extra(rule_type, given, path)
    kept: dict[str, Any] = {}
    for param in rule_type.params:
        value = given.get(param.name)
        if value is None:
            if param.required:
                violations.append(FieldViolation(f"{path}.{param.name}", "is required"))
            continue
        try:
            kept[param.kept_name] = _compile_value(param, value, tenant_currency)
        except (_ParamInvalid, money.NumberInvalid) as error:
            violations.append(FieldViolation(f"{path}.{param.name}", str(error)))
    return kept, violations or _check_together(kept, path)


def _check_extra(rule_type: RuleType, given: Mapping[Any, Any], path: str) -> list[FieldViolation]:
    known = {param.name for param in rule_type.params}
    extra = [str(name) for name in given if name not in known]
    description = f"is not a param of {rule_type.name}, which takes {', '.join(sorted(known))}"
    told = [
        FieldViolation(f"{path}.{shorten(name)}", description)
        for name in extra[:_EXTRA_PARAMS_TOLD_MAX]
    ]
    untold = len(extra) - len(told)
    if untold:
        told.append(FieldViolation(path, f"has {untold} more that are not params"))
    return told


def _check_together(kept: Mapping[str, Any], path: str) -> list[FieldViolation]:
    if kept.get("min_active_days", 0) <= kept.get("days", limits.RULE_WINDOW_DAYS_MAX):
        return []
    return [FieldViolation(f"{path}.min_active_days", "must be at most days")]


def _compile_value(param: Param, value: object, tenant_currency: str) -> int | str:
    match param.kind:
        case ParamKind.INTEGER:
            return _compile_integer(param, value)
        case ParamKind.AMOUNT:
            return _compile_amount(value, tenant_currency)
        case ParamKind.OPERATOR_ID:
            return _compile_operator_id(value)
        case _:
            assert_never(param.kind)


def _compile_integer(param: Param, value: object) -> int:
    expected = f"must be a whole number from {param.minimum} to {param.maximum}"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _ParamInvalid(expected)
    if not param.minimum <= value <= param.maximum:
        raise _ParamInvalid(expected)
    return value


def _compile_amount(value: object, tenant_currency: str) -> int:
    if isinstance(value, str):
        raise _ParamInvalid("must be a number")
    amount_minor = money.minor_from_major(value, tenant_currency)
    if amount_minor == 0:
        raise _ParamInvalid("must be over 0")
    return amount_minor


def _compile_operator_id(value: object) -> str:
    operator_id = parse_uuid(value)
    if operator_id is None or operator_id == UUID(int=0):
        raise _ParamInvalid("must be a UUID in text, not all zeros")
    return str(operator_id)
