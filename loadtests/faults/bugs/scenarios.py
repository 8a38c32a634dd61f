"""The situations in which seeded bugs bite. On a sound build every one of them finds nothing."""

import asyncio
import time
from datetime import datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from guerdon.api.admin.v1.offer_pb2 import Offer
from guerdon.serving.failpoints import Failpoint, Order
from loadtests.faults.bugs.stage import (
    CALL_SECONDS,
    OFFER_LOCK,
    POLL_SECONDS,
    REDEMPTION_LOCK,
    WAITING_QUERY,
    Stage,
    StageError,
)
from loadtests.faults.calls import Reply
from loadtests.faults.failpoints import (
    arm,
    holding_redeems,
    install_waiting_redeem,
    reached_by,
    restore_redeem,
)
from loadtests.faults.intents import Method
from loadtests.faults.observe import counters_key, pairs_of
from loadtests.load_plan import written_offer

# Uses that are asked for of what may be used a few times.
DEMAND = 12
TOTAL, EACH, PRODUCT_USES = 5, 2, 3
# Calls at once of which each of two workers gets some.
CROWD = 32
# Seconds before its end in which a Redeem comes; a slow machine needs more. A Redeem waits for two.
WINDOW_SECONDS = (0.6, 1.2, 1.7)
# Seconds after which a telling may be lost, and another use is asked for.
TELLING_SECONDS = 2.0


async def sell_out(stage: Stage) -> None:
    """Three offers with a limit each are asked for more than they have, in one batch each."""
    product_id, customer_id = uuid7(), uuid7()
    total = await stage.offer(written_offer("total", total=TOTAL), total=TOTAL)
    each = await stage.offer(written_offer("each", per_customer=EACH), each_customer=EACH)
    listed = written_offer("product", products={product_id: PRODUCT_USES})
    product = await stage.offer(listed, targets={product_id: PRODUCT_USES})
    await stage.batch([stage.intent(total) for _ in range(DEMAND)])
    await stage.batch([stage.intent(each, customer_id) for _ in range(DEMAND)])
    await stage.batch([stage.intent(product, product_id=product_id) for _ in range(DEMAND)])


async def ask_again(stage: Stage) -> None:
    """A use that was granted is asked for again: where there is room, and where there is none, by
    both roads to a refusal."""
    free = stage.intent(await stage.offer(written_offer("no limit")))
    await stage.redeem(free)
    await stage.redeem(free)
    offer_id = await stage.offer(written_offer("spent", total=1), total=1)
    first = stage.intent(offer_id)
    await stage.redeem(first)
    await stage.redeem(stage.intent(offer_id))
    await until_told(stage, offer_id)
    await stage.redeem(first)
    await stage.redis.flushall()
    await stage.redeem(first)


async def ask_for_something_else(stage: Stage) -> None:
    """The id of a granted use comes with another body."""
    intent = stage.intent(await stage.offer(written_offer("no limit")))
    await stage.redeem(intent)
    await stage.redeem(intent, Method.OTHER)


async def ask_two_workers(stage: Stage) -> None:
    """A customer asks both workers for the one use, and both batches wait for the offer's lock."""
    customer_id = uuid7()
    offer_id = await stage.offer(written_offer("once each", per_customer=1), each_customer=1)

    async def ask() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(CROWD):
                group.create_task(stage.redeem(stage.intent(offer_id, customer_id)))

    async with asyncio.TaskGroup() as group, stage.holding(OFFER_LOCK, offer_id):
        group.create_task(ask())
        await stage.until_waiting(2)


async def revoke_at_once(stage: Stage) -> None:
    """Two revokes of one redemption reach it together, and a third comes later. The customer has
    more uses than that, since a constraint keeps counts from falling below zero."""
    customer_id = uuid7()
    offer_id = await stage.offer(written_offer("given back", total=TOTAL))
    intents = [stage.intent(offer_id, customer_id) for _ in range(TOTAL)]
    await stage.batch(intents)

    async def revoke() -> None:
        await stage.revoke(intents[0])

    await stage.behind(REDEMPTION_LOCK, intents[0].request_id, revoke, revoke)
    await revoke()


async def revoke_first(stage: Stage) -> None:
    """A revoke overtakes its redeem."""
    intent = stage.intent(await stage.offer(written_offer("revoked first")))
    await stage.revoke(intent)
    await stage.redeem(intent)


async def revoke_under_way(stage: Stage) -> None:
    """A redeem has decided when the tombstone of its request is committed by somebody else."""
    intent = stage.intent(await stage.offer(written_offer("revoked meanwhile", total=TOTAL)))

    async def redeem() -> None:
        await stage.redeem(intent)

    async with asyncio.TaskGroup() as group, stage.revoking(intent):
        group.create_task(redeem())
        await stage.until_waiting(1)


async def edit_under_way(stage: Stage) -> None:
    """An edit comes while a redeem is about to commit."""
    offer_id = await stage.offer(written_offer("edited", total=TOTAL))
    wanted = Offer(offer_id=str(offer_id), total_usage_limit=TOTAL + 1)
    await install_waiting_redeem(stage.owner, stage.build.migrations)
    async with asyncio.TaskGroup() as group, holding_redeems(stage.build.database_url):
        group.create_task(stage.redeem(stage.intent(offer_id)))
        await stage.until_waiting(1)
        group.create_task(stage.edit(wanted, "total_usage_limit"))
        await stage.until_waiting(2)
    await restore_redeem(stage.owner, stage.build.migrations)


async def redeem_behind_an_edit(stage: Stage) -> None:
    """A redeem that was priced by one version waits for the edit that makes the next."""
    offer_id = await stage.offer(written_offer("priced anew"))
    wanted = Offer(offer_id=str(offer_id), discount_value=20)

    async def edit() -> None:
        await stage.edit(wanted, "discount_value")

    async def redeem() -> None:
        await stage.redeem(stage.intent(offer_id))

    await stage.behind(OFFER_LOCK, offer_id, edit, redeem)


async def end_while_waiting(stage: Stage) -> None:
    """The offer ends while a redeem waits for its lock, which it came to in time."""
    for seconds in WINDOW_SECONDS:
        clock = f"select clock_timestamp() + interval '{seconds + 0.3} seconds'"
        ends_at = await stage.owner.fetchval(clock)
        written = written_offer("ends")
        written.ends_at.FromDatetime(ends_at)
        offer_id = await stage.offer(written, audited=False)
        intent = stage.intent(offer_id)
        await until_clock(stage, ends_at, before_seconds=seconds)
        async with stage.holding(OFFER_LOCK, offer_id):
            call = asyncio.create_task(stage.caller.redeem(intent, seconds=CALL_SECONDS))
            came_in_time = await waits_before(stage, call, ends_at)
            await until_clock(stage, ends_at)
        answer = (await call).answer
        if came_in_time and answer.is_definite:
            granted = [f"offer {offer_id}: granted after its end"] if answer.is_grant else []
            stage.find("window", "Nothing is granted after an offer's end by the clock.", *granted)
            return
    raise StageError("no redeem came to the lock in time: is the machine very busy?")


async def poison_one(stage: Stage) -> None:
    """One item of a batch runs into a defect."""
    offer_id = await stage.offer(written_offer("poisoned"))
    intents = [stage.intent(offer_id) for _ in range(DEMAND)]
    poisoned = intents[DEMAND // 2]
    stage.ignored.add(poisoned.request_id)
    await stage.owner.execute(
        f"""
        create function guerdon.poison() returns trigger language plpgsql as
          $$ begin raise exception 'poison'; end $$;
        create trigger poison before insert on guerdon.redemptions for each row
          when (new.request_id = '{poisoned.request_id}') execute function guerdon.poison();
        """
    )
    try:
        await stage.batch(intents)
    finally:
        await stage.owner.execute("drop function guerdon.poison cascade")


async def lose_the_acknowledgement(stage: Stage) -> None:
    """The connection is lost with the answer to a commit."""
    offer_id = await stage.offer(written_offer("acknowledgement lost", total=TOTAL))
    arm(stage.build.failpoints, Failpoint.ACKNOWLEDGED, Order.ERROR)
    await stage.redeem(stage.intent(offer_id))
    await until_reached(stage, Failpoint.ACKNOWLEDGED)


async def die_after_the_reply(stage: Stage) -> None:
    """The worker is killed as soon as its reply is sent."""
    offer_id = await stage.offer(written_offer("killed after the reply", total=TOTAL))
    arm(stage.build.failpoints, Failpoint.REPLIED, Order.KILL)
    await stage.redeem(stage.intent(offer_id))
    await until_reached(stage, Failpoint.REPLIED)
    await stage.until_writable(wanted=False)


async def fill_redis(stage: Stage) -> None:
    """What Redis is told of a batch is what Postgres has."""
    offer_id = await stage.offer(written_offer("told", total=DEMAND))
    await stage.batch([stage.intent(offer_id) for _ in range(TOTAL)])
    await until_told(stage, offer_id)
    pairs = await pairs_of(stage.owner, stage.redis, stage.tenant_id)
    wrong = [f"Redis {pair.redis}, Postgres {pair.postgres}" for pair in pairs]
    wrong = [text for text, pair in zip(wrong, pairs, strict=True) if pair.redis != pair.postgres]
    stage.find("redis_equals_postgres", "Redis says what Postgres says.", *wrong)


async def mislead_redis(stage: Stage) -> None:
    """Redis says that an offer with room is spent, as one may that lost writes at a failover."""
    offer_id = await stage.offer(written_offer("not spent", total=DEMAND))
    await stage.redeem(stage.intent(offer_id))
    await until_told(stage, offer_id)
    key = counters_key(stage.tenant_id, offer_id)
    await stage.redis.hset(key, mapping={"used": DEMAND, "sequence": 1_000})
    await stage.redeem(stage.intent(offer_id))


async def until_clock(stage: Stage, moment: datetime, before_seconds: float = 0.0) -> None:
    """So long before the moment, by the database's clock."""

    async def reached() -> bool:
        clock = "select clock_timestamp() + $1 * interval '1 second' >= $2"
        return bool(await stage.owner.fetchval(clock, before_seconds, moment))

    await stage.until(reached, "the time comes")


async def waits_before(stage: Stage, call: "asyncio.Task[Reply]", moment: datetime) -> bool:
    """Whether the call is seen to wait for a lock before the moment."""
    query = f"select ({WAITING_QUERY}) > 0 as waits, clock_timestamp() < $1 as in_time"
    while True:
        row = await stage.owner.fetchrow(query, moment)
        if row is None or not row["in_time"] or call.done():
            return False
        if row["waits"]:
            return True
        await asyncio.sleep(POLL_SECONDS)


async def until_told(stage: Stage, offer_id: UUID) -> None:
    """Redis has heard of the offer's last effect. A build with a bug may have lost what it had to
    tell, and tells all of it after the next use that somebody wants."""
    asked_at = time.monotonic()

    async def told() -> bool:
        nonlocal asked_at
        if time.monotonic() - asked_at > TELLING_SECONDS:
            asked_at = time.monotonic()
            await stage.redeem(stage.intent(offer_id))
        pairs = await pairs_of(stage.owner, stage.redis, stage.tenant_id)
        pair = next(pair for pair in pairs if pair.offer_id == offer_id)
        return pair.redis is not None and pair.redis["sequence"] == pair.postgres["sequence"]

    await stage.until(told, "Redis is told")


async def until_reached(stage: Stage, point: Failpoint) -> None:
    """A server has come to the point."""

    async def reached() -> bool:
        return reached_by(stage.build.failpoints, point) is not None

    await stage.until(reached, f"{point} is reached")
