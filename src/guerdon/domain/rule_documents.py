"""The rule catalogue for others to read: JSON Schema for the rule editor, a table for the docs."""

from typing import Any, assert_never

from guerdon import limits
from guerdon.domain import money
from guerdon.domain.rules import (
    RULE_DESCRIPTION_CHARACTERS_MAX,
    RULE_KEY_CHARACTERS_MAX,
    RULE_TYPES,
    Param,
    ParamKind,
    RuleType,
)


def json_schema(tenant_currency: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of an offer's `rules`, for a tenant of that currency.

    What spans params (min_active_days at most days) and the decimals of an amount are beyond it
    and are checked when the offer is written.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Eligibility rules of an offer",
        "type": "array",
        "maxItems": limits.OFFER_RULES_MAX,
        "items": {
            "oneOf": [_rule_schema(rule_type, tenant_currency) for rule_type in RULE_TYPES.values()]
        },
    }


def markdown_table() -> str:
    """The rule types with their params and meaning, one row each, as a Markdown table."""
    rows = [
        f"| `{rule_type.name}` | {', '.join(map(_param_cell, rule_type.params))} "
        f"| The customer qualifies if {rule_type.meaning}. |"
        for rule_type in RULE_TYPES.values()
    ]
    return "\n".join(["| rule_type | params | meaning |", "|---|---|---|", *rows]) + "\n"


def _rule_schema(rule_type: RuleType, tenant_currency: str) -> dict[str, Any]:
    return {
        "title": rule_type.title,
        "description": f"The customer qualifies if {rule_type.meaning}.",
        "type": "object",
        "properties": {
            "rule_key": {
                "type": "string",
                "maxLength": RULE_KEY_CHARACTERS_MAX,
                "description": "Unique within the offer; left out: made from the type.",
            },
            "rule_type": {"const": rule_type.name},
            "params": {
                "type": "object",
                "properties": {
                    param.name: _param_schema(param, tenant_currency) for param in rule_type.params
                },
                "required": [param.name for param in rule_type.params if param.required],
                "additionalProperties": False,
            },
            "description": {"type": "string", "maxLength": RULE_DESCRIPTION_CHARACTERS_MAX},
        },
        "required": ["rule_type", "params"],
        "additionalProperties": False,
    }


def _param_schema(param: Param, tenant_currency: str) -> dict[str, Any]:
    described = {"description": param.description}
    match param.kind:
        case ParamKind.INTEGER:
            return described | {
                "type": "integer",
                "minimum": param.minimum,
                "maximum": param.maximum,
            }
        case ParamKind.AMOUNT:
            amount_max = money.major_from_minor(limits.UNIT_PRICE_MINOR_MAX, tenant_currency)
            return described | {"type": "number", "exclusiveMinimum": 0, "maximum": amount_max}
        case ParamKind.OPERATOR_ID:
            return described | {"type": "string", "format": "uuid"}
        case _:
            assert_never(param.kind)


def _param_cell(param: Param) -> str:
    optional = "" if param.required else "?"
    match param.kind:
        case ParamKind.INTEGER:
            return f"`{param.name}`{optional} ({param.minimum} to {param.maximum})"
        case ParamKind.AMOUNT:
            return f"`{param.name}`{optional} (major units, over 0)"
        case ParamKind.OPERATOR_ID:
            return f"`{param.name}`{optional} (UUID)"
        case _:
            assert_never(param.kind)
