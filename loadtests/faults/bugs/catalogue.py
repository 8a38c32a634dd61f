"""The seeded bugs. `old` is as short as it may be, so that it survives what does not concern it."""

from loadtests.faults.bugs import probes, scenarios
from loadtests.faults.bugs.build import Bug, Change

REDEEM_SQL = "migrations/functions/redeem_v1.sql"
REVOKE_SQL = "migrations/functions/revoke_v1.sql"
WRITE_OFFER_SQL = "migrations/functions/write_offer_v1.sql"
REDEMPTIONS_SQL = "migrations/0004_redemptions.sql"
REDEEM = "src/guerdon/dataplane/redeem.py"
COMMITTING = "src/guerdon/dataplane/committing.py"
STORE = "src/guerdon/adapters/postgres/redemptions.py"
HEALTH = "src/guerdon/adapters/postgres/server_checks.py"
PRICING = "src/guerdon/domain/pricing.py"
RECORD_LUA = "src/guerdon/adapters/redis/lua/record.lua"

# No row has this position, so no request id is found.
KNOWN_IDS_UNSEEN = Change(
    REDEEM_SQL, "= w.request_id and x.position = 0", "= w.request_id and x.position = 1"
)
LOCK_COMMENT = "  -- The lateral subquery cannot be flattened"
USAGE_READ_EARLY = """
  select
    array_agg(coalesce(u.used, 0) order by w.n), array_agg(coalesce(u.last_use, 0) order by w.n)
  into o_pair_used, v_pair_last
  from unnest(p_pair_offers, p_pair_customers) with ordinality as w (offer_id, customer_id, n)
  left join guerdon.offer_customer_usage u
    on u.tenant_id = p_tenant and u.offer_id = w.offer_id and u.customer_id = w.customer_id;
"""
REPLY_BEFORE_COMMIT = """
        held = self._database.connection()
        connection = await held.__aenter__()
        await connection.execute("begin")
        row = await connection.fetchrow(queries.text("redeem"), *arrays.arguments())

        async def commit_late() -> None:
            await asyncio.sleep(0.3)
            await connection.execute("commit")
            await held.__aexit__(None, None, None)

        import asyncio
        self.late = asyncio.create_task(commit_late())
"""
OTHER_IDS = """
            if attempt:
                import uuid, msgspec
                replace = msgspec.structs.replace
                for item in (items := list(items)):
                    command = replace(item.command, request_id=uuid.uuid4())
                    items[items.index(item)] = replace(item, command=command)
            return await store.redeem(tenant_id, items)
"""
BELIEVED = """
            if isinstance(confirmed, PricedLine):
                confirmed = refuse_use(RefusalReason.TOTAL_LIMIT_REACHED, attempt.judgement.offer)
            if isinstance(confirmed, PricedLine):
"""
UNGUARDED = """
    if v_table <> 'redemption_lines' then
      execute format('alter table guerdon.%I enable row level security', v_table);
    end if;"""

LIMITS = (
    Bug(
        "no_total_limit",
        "The locking function does not look at the total limit.",
        (Change(REDEEM_SQL, "o_used[v_offer] >= o_total_limits[v_offer]", "false"),),
        scenarios.sell_out,
        "limits",
    ),
    Bug(
        "no_customer_limit",
        "The locking function does not look at the limit of a customer.",
        (Change(REDEEM_SQL, "o_pair_used[v_pair] >= o_customer_limits[v_offer]", "false"),),
        scenarios.sell_out,
        "limits",
    ),
    Bug(
        "no_product_limit",
        "The locking function does not look at the limit of a product.",
        (Change(REDEEM_SQL, "v_target_used[v_target] >= p_target_limits[v_target]", "false"),),
        scenarios.sell_out,
        "limits",
    ),
    Bug(
        "last_use_kept_back",
        "The last use of an offer is never granted.",
        (Change(REDEEM_SQL, ">= o_total_limits[v_offer]", ">= o_total_limits[v_offer] - 1"),),
        scenarios.sell_out,
        "goals_are_hit_exactly",
    ),
    Bug(
        "sequence_gap",
        "Every redemption takes the number after the next.",
        (Change(REDEEM_SQL, "= o_last_sequences[v_offer] + 1", "= o_last_sequences[v_offer] + 2"),),
        scenarios.sell_out,
        "sequences",
    ),
    Bug(
        "discount_twice",
        "A percentage is taken off twice.",
        (
            Change(
                PRICING,
                "return pieces * line.unit_price_minor * bps",
                "return 2 * pieces * line.unit_price_minor * bps",
            ),
        ),
        scenarios.sell_out,
        "prices_follow_from_their_version",
    ),
    Bug(
        "answers_out_of_order",
        "The answers of a batch go to the wrong callers.",
        (Change(REDEEM, "in range(len(attempts))]", "in reversed(range(len(attempts)))]"),),
        scenarios.sell_out,
        "grants_have_rows",
    ),
    Bug(
        "redis_incremented",
        "Redis' counter grows by one at each push, instead of taking what is committed.",
        (
            Change(
                RECORD_LUA,
                "'used', used,",
                "'used', (redis.call('HGET', KEYS[key], 'used') or 0) + 1,",
            ),
        ),
        scenarios.fill_redis,
        "redis_equals_postgres",
    ),
    Bug(
        "redis_believed",
        "A no of Redis is answered, although Postgres has room.",
        (Change(REDEEM, "\n            if isinstance(confirmed, PricedLine):\n", BELIEVED),),
        scenarios.mislead_redis,
        "refusals_were_true",
    ),
)

REQUEST_IDS = (
    Bug(
        "no_unique_key",
        "No request id is looked up, and none is unique.",
        (
            KNOWN_IDS_UNSEEN,
            Change(
                REDEMPTIONS_SQL,
                "  constraint redemptions_pkey primary key (tenant_id, request_id, position),\n",
                "",
            ),
            Change(
                REDEMPTIONS_SQL,
                "  constraint redemption_lines_pkey"
                " primary key (tenant_id, request_id, position, line_number),\n",
                "",
            ),
        ),
        scenarios.ask_again,
        "replays_say_so",
    ),
    Bug(
        "refused_under_the_lock_without_a_look_up",
        "The locking function refuses without looking the request id up.",
        (KNOWN_IDS_UNSEEN,),
        scenarios.ask_again,
        "no_refusal_after_a_grant",
    ),
    Bug(
        "refused_by_a_snapshot_without_a_look_up",
        "The cheap confirmation refuses without looking the request id up.",
        (Change(REDEEM, "_known(attempt, observation) or confirm(", "confirm("),),
        scenarios.ask_again,
        "no_refusal_after_a_grant",
    ),
    Bug(
        "other_body_accepted",
        "A known request id is a replay, whatever it asks for now.",
        (Change(REDEEM_SQL, "when r.body_hash = w.body_hash", "when r.body_hash is not null"),),
        scenarios.ask_for_something_else,
        "grants_have_rows",
    ),
    Bug(
        "collision_unnoticed",
        "That a request id was committed meanwhile is not noticed.",
        (Change(REDEEM_SQL, "if v_written <> v_granted then", "if false then"),),
        scenarios.revoke_under_way,
        "grants_have_rows",
    ),
    Bug(
        "retry_with_a_new_id",
        "A batch whose acknowledgement was lost is sent again with new request ids.",
        (
            Change(
                COMMITTING, "\n            return await store.redeem(tenant_id, items)\n", OTHER_IDS
            ),
        ),
        scenarios.lose_the_acknowledgement,
        "rows_were_asked_for",
    ),
    Bug(
        "reply_before_commit",
        "The answer leaves before its transaction is committed.",
        (
            Change(
                STORE,
                '        row = await self._database.call(queries.text("redeem"),'
                " *arrays.arguments())\n",
                REPLY_BEFORE_COMMIT,
            ),
        ),
        scenarios.die_after_the_reply,
        "grants_have_rows",
    ),
    Bug(
        "batch_error_for_all",
        "What one item of a batch ran into is answered to all of them.",
        (
            Change(
                COMMITTING,
                "await _redeem_parts(store, tenant_id, items, _halves(items), defect)",
                "([defect] * len(items), [])",
            ),
        ),
        scenarios.poison_one,
        "errors_are_explained",
    ),
)

LOCKS = (
    Bug(
        "redeem_without_the_lock",
        "The locking function does not lock.",
        (Change(REDEEM_SQL, "\n    for no key update\n", "\n"),),
        scenarios.ask_two_workers,
        "sequences",
        workers=2,
    ),
    Bug(
        "usage_read_before_the_lock",
        "How often a customer has used the offer is read before the lock is had.",
        (
            Change(REDEEM_SQL, "\nbegin\n", "\n  v_late integer[];\n  v_later integer[];\nbegin\n"),
            Change(REDEEM_SQL, "into o_pair_used, v_pair_last", "into v_late, v_later"),
            Change(REDEEM_SQL, LOCK_COMMENT, USAGE_READ_EARLY + LOCK_COMMENT),
        ),
        scenarios.ask_two_workers,
        "limits",
        workers=2,
    ),
    Bug(
        "clock_before_the_lock",
        "The time is that of the statement's begin, before it waited for the lock.",
        (Change(REDEEM_SQL, "o_now := clock_timestamp();", "o_now := now();"),),
        scenarios.end_while_waiting,
        "window",
    ),
    Bug(
        "edit_without_the_lock",
        "An edit reads the offer's last number without locking it.",
        (Change(WRITE_OFFER_SQL, "\n    for no key update;", ";"),),
        scenarios.edit_under_way,
        "sequences",
    ),
    Bug(
        "stale_version_accepted",
        "What another version priced is granted all the same.",
        (
            Change(
                REDEEM_SQL,
                "o_versions[v_offer] is distinct from p_versions[i]",
                "o_versions[v_offer] is null",
            ),
        ),
        scenarios.redeem_behind_an_edit,
        "versions",
    ),
    Bug(
        "revoke_without_the_lock",
        "A revoke reads the redemption without locking its offer.",
        (Change(REVOKE_SQL, "\n  for no key update;", ";"),),
        scenarios.revoke_at_once,
        "revokes",
    ),
    Bug(
        "given_back_twice",
        "A redemption that was revoked is given back again.",
        (Change(REVOKE_SQL, "if v_redemption.revoked_at is not null then", "if false then"),),
        scenarios.revoke_at_once,
        "revokes",
    ),
    Bug(
        "money_kept_on_revoke",
        "A revoke gives the use back and keeps the money.",
        (Change(REVOKE_SQL, "c.spent_minor - v_redemption.discount_minor", "c.spent_minor"),),
        scenarios.revoke_at_once,
        "counters",
    ),
    Bug(
        "no_tombstone",
        "A revoke of what is not there yet leaves no trace.",
        (
            Change(
                REVOKE_SQL,
                "values (p_tenant, p_request_id, o_revoked_at, p_reason)",
                "select p_tenant, p_request_id, o_revoked_at, p_reason where false",
            ),
        ),
        scenarios.revoke_first,
        "revokes_hold",
    ),
)

WALLS = (
    Bug(
        "row_security_for_everyone",
        "The policy of the redemptions' tables lets every tenant in.",
        (
            Change(
                REDEMPTIONS_SQL,
                "(tenant_id = nullif(current_setting(''guerdon.tenant_id'', true), '''')::uuid)",
                "(tenant_id is not null)",
            ),
        ),
        probes.write_to_another_tenant,
        "tenants_are_apart",
    ),
    Bug(
        "row_security_off",
        "One table has no row level security.",
        (
            Change(
                REDEMPTIONS_SQL,
                "execute format('alter table guerdon.%I enable row level security', v_table);",
                UNGUARDED,
            ),
        ),
        probes.write_to_another_tenant,
        "server_serves",
    ),
    Bug(
        "health_by_select_1",
        "A server says that it can write when it can read.",
        (Change(HEALTH, "select guerdon.prove_writable_v1($1)", "select $1::int"),),
        probes.lose_the_right_to_write,
        "health",
    ),
)

BUGS = {bug.name: bug for bug in (*LIMITS, *REQUEST_IDS, *LOCKS, *WALLS)}
