"""The plans that Postgres really ran, inside functions as well, and how many rows they read."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

Node = dict[str, Any]


class PlanLog:
    """A connection as the application role whose every statement reports its plan."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self._plans: list[Node] = []
        connection.add_log_listener(self._hear)

    def _hear(self, _: object, message: Any) -> None:
        _, found, plan = message.message.partition("plan:")
        if found:
            self._plans.append(json.loads(plan))

    async def run(self, sql: str, *arguments: Any) -> list[Node]:
        """The nodes of all plans of one call, outermost statement last."""
        self._plans.clear()
        await self.connection.fetch(sql, *arguments)
        return [node for plan in self._plans for node in _nodes(plan["Plan"])]


@asynccontextmanager
async def plan_log(owner_url: str) -> AsyncIterator[PlanLog]:
    """Needs contrib's auto_explain and an owner who may load it."""
    connection = await asyncpg.connect(owner_url)
    try:
        await connection.execute(
            """
            load 'auto_explain';
            set auto_explain.log_min_duration = 0;
            set auto_explain.log_nested_statements = on;
            set auto_explain.log_analyze = on;
            set auto_explain.log_timing = off;
            set auto_explain.log_format = json;
            set auto_explain.log_level = notice;
            set role guerdon_app;
            """
        )
        yield PlanLog(connection)
    finally:
        await connection.close()


def rows_read(nodes: list[Node]) -> int:
    """Rows that scans of tables took up, with those that they threw away."""
    return sum(_rows(node) for node in nodes if "Relation Name" in node)


def sequential_scans(nodes: list[Node]) -> set[str]:
    """Tables that were read from end to end."""
    return {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"}


def indexes_used(nodes: list[Node], table: str) -> set[str]:
    """The indexes by which the table was looked up."""
    return {
        node["Index Name"]
        for node in nodes
        if node.get("Relation Name") == table and "Index Name" in node
    }


def _nodes(plan: Node) -> Iterator[Node]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _rows(node: Node) -> int:
    loops = node["Actual Loops"]
    removed = sum(node.get(f"Rows Removed by {cause}", 0) for cause in ("Filter", "Index Recheck"))
    rows: int = round((node["Actual Rows"] + removed) * loops)
    return rows
