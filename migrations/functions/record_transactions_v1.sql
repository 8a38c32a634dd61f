-- record_transactions_v1: take a batch of transactions of one tenant, and keep the rollups exact.
--
-- Purpose: facts that the rules count. Idempotent by transaction id: pushed again, or by two callers at
-- once, a transaction counts once. Called by adapters/postgres/facts.py.
--
-- Inputs, parallel arrays, a row a transaction; ids may repeat:
--   p_ids         the caller's own ids
--   p_kinds       topup | purchase | other; p_statuses: pending | succeeded | failed | reversed
--   p_operators   null or all zeros: of no operator; p_products: null: of no product
--   p_amounts     minor units of p_currencies
--   p_times       when it happened; its day is that of the tenant's zone when the row is first written
--
-- Outcomes: how many different transactions were inserted, moved on in status, and left as they were. A
-- status only moves forward (pending to any, succeeded to reversed); an earlier one that arrives late, or
-- beside a later one in the same batch, changes nothing. o_conflicts names the ids whose content differs
-- from what is known, or whose status cannot follow from it: then nothing of the batch is written.
--
-- Rollups count succeeded transactions, in the row of all operators and in that of their own. Being
-- reversed takes a transaction's counts back from its own day. Only amounts in the tenant's currency are
-- summed. o_is_beyond says that a sum left the range of bigint: then nothing of the batch is written either.
--
-- Plans: upserts, which have none, and lateral look-ups with `limit 1`, which can only be by primary key.
-- Locks: customers' facts (lock_customer_facts_v1), then primary keys of transactions in order of id. A
-- transaction's content never changes, so its customer's lock is also its own.

create or replace function guerdon.record_transactions_v1(
  p_tenant     uuid,
  p_ids        text[],
  p_customers  uuid[],
  p_kinds      text[],
  p_statuses   text[],
  p_operators  uuid[],
  p_products   uuid[],
  p_amounts    bigint[],
  p_currencies text[],
  p_times      timestamptz[],
  out o_inserted  integer,
  out o_updated   integer,
  out o_unchanged integer,
  out o_conflicts text[],
  out o_is_beyond boolean
)
language plpgsql
volatile
set search_path = pg_catalog
set lock_timeout = '2000ms'
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  c_all_operators constant uuid := '00000000-0000-0000-0000-000000000000';
  v_zone          text;
  v_currency      text;
  v_ids           text[];
  v_customers     uuid[];
  v_kinds         text[];
  v_statuses      text[];
  v_operators     uuid[];
  v_products      uuid[];
  v_amounts       bigint[];
  v_currencies    text[];
  v_times         timestamptz[];
  v_moves         boolean[];
  v_days          date[];
  v_effects       integer[];
  v_sign          integer;
  v_written       integer;
begin
  o_is_beyond := false;
  perform set_config('guerdon.tenant_id', p_tenant::text, true);
  select t.time_zone, t.currency into strict v_zone, v_currency
  from guerdon.tenants t where t.tenant_id = p_tenant;

  -- One row an id, with the status that is furthest on; more than one row means that contents differ.
  select
    array_agg(g.id), array_agg(g.customer_id), array_agg(g.kind), array_agg(g.status),
    array_agg(g.operator_id), array_agg(g.product_id), array_agg(g.amount), array_agg(g.currency),
    array_agg(g.occurred_at), array_agg(distinct g.id) filter (where g.is_torn or g.contents > 1)
  into
    v_ids, v_customers, v_kinds, v_statuses, v_operators, v_products, v_amounts, v_currencies,
    v_times, o_conflicts
  from (
    select
      t.id, t.customer_id, t.kind, nullif(t.operator_id, c_all_operators) as operator_id,
      t.product_id, t.amount, t.currency, t.occurred_at,
      case
        when bool_or(t.status = 'reversed') then 'reversed'
        when bool_or(t.status = 'succeeded') then 'succeeded'
        when bool_or(t.status = 'failed') then 'failed'
        else min(t.status)
      end as status,
      bool_or(t.status = 'failed') and bool_or(t.status in ('succeeded', 'reversed')) as is_torn,
      count(*) over (partition by t.id) as contents
    from unnest(
      p_ids, p_customers, p_kinds, p_statuses, p_operators, p_products, p_amounts, p_currencies, p_times
    ) as t (id, customer_id, kind, status, operator_id, product_id, amount, currency, occurred_at)
    group by t.id, t.customer_id, t.kind, nullif(t.operator_id, c_all_operators), t.product_id,
      t.amount, t.currency, t.occurred_at
    order by t.id
  ) as g;

  begin
    if o_conflicts is not null then
      raise exception 'conflicts' using errcode = 'GD003';
    end if;
    perform guerdon.lock_customer_facts_v1(p_tenant, v_customers);

    select
      array_agg(b.id) filter (where s.transaction_id is not null and (
        (s.customer_id, s.kind, s.operator_id, s.product_id, s.amount_minor, s.currency, s.occurred_at)
          is distinct from
        (b.customer_id, b.kind, b.operator_id, b.product_id, b.amount, b.currency, b.occurred_at)
        or (s.status = 'failed' and b.status in ('succeeded', 'reversed'))
        or (s.status in ('succeeded', 'reversed') and b.status = 'failed'))),
      array_agg(
        s.status is null or (s.status = 'pending' and b.status <> 'pending')
        or (s.status = 'succeeded' and b.status = 'reversed') order by b.n),
      array_agg(coalesce(s.day, (b.occurred_at at time zone v_zone)::date) order by b.n),
      array_agg(case
        when b.status = 'succeeded' and coalesce(s.status, 'pending') = 'pending' then 1
        when b.status = 'reversed' and s.status = 'succeeded' then -1
        else 0
      end order by b.n),
      count(*) filter (where s.status is null)
    into o_conflicts, v_moves, v_days, v_effects, o_inserted
    from unnest(
      v_ids, v_customers, v_kinds, v_statuses, v_operators, v_products, v_amounts, v_currencies, v_times
    ) with ordinality
      as b (id, customer_id, kind, status, operator_id, product_id, amount, currency, occurred_at, n)
    left join lateral (
      select x.* from guerdon.transactions x
      where x.tenant_id = p_tenant and x.transaction_id = b.id
      limit 1
    ) as s on true;
    if o_conflicts is not null then
      raise exception 'conflicts' using errcode = 'GD003';
    end if;

    -- The condition fails only where somebody committed the id meanwhile for another customer, whose lock
    -- is not ours; same content means same lock.
    insert into guerdon.transactions as s (
      tenant_id, transaction_id, customer_id, kind, status, operator_id, product_id, amount_minor,
      currency, occurred_at, day)
    select
      p_tenant, b.id, b.customer_id, b.kind, b.status, b.operator_id, b.product_id, b.amount,
      b.currency, b.occurred_at, b.day
    from unnest(
      v_ids, v_customers, v_kinds, v_statuses, v_operators, v_products, v_amounts, v_currencies, v_times,
      v_days, v_moves
    ) as b (
      id, customer_id, kind, status, operator_id, product_id, amount, currency, occurred_at, day, moves)
    where b.moves
    order by b.id
    on conflict (tenant_id, transaction_id) do update
      set status = excluded.status, updated_at = clock_timestamp()
      where s.customer_id = excluded.customer_id;
    get diagnostics v_written = row_count;
    if v_written <> cardinality(array_positions(v_moves, true)) then
      select array_agg(b.id) into o_conflicts
      from unnest(v_ids, v_customers) as b (id, customer_id)
      cross join lateral (
        select x.customer_id from guerdon.transactions x
        where x.tenant_id = p_tenant and x.transaction_id = b.id
        limit 1
      ) as s
      where s.customer_id <> b.customer_id;
      raise exception 'conflicts' using errcode = 'GD003';
    end if;
    o_updated := v_written - o_inserted;
    o_unchanged := cardinality(v_ids) - v_written;

    -- What is taken back is proposed as a positive row too: its row exists since it was counted, and an
    -- upsert, unlike an update with a join, has no plan that could go wrong.
    foreach v_sign in array array[1, -1] loop
      continue when not v_sign = any (v_effects);

      insert into guerdon.customer_stats as s (
        tenant_id, customer_id, operator_id, topups, transactions, spent_minor)
      select
        p_tenant, b.customer_id, o.operator_id, count(*) filter (where b.kind = 'topup'), count(*),
        coalesce(sum(b.amount) filter (where b.currency = v_currency), 0)
      from unnest(v_customers, v_operators, v_kinds, v_amounts, v_currencies, v_effects)
        as b (customer_id, operator_id, kind, amount, currency, effect)
      cross join lateral (values (c_all_operators), (b.operator_id)) as o (operator_id)
      where b.effect = v_sign and o.operator_id is not null
      group by b.customer_id, o.operator_id
      on conflict (tenant_id, customer_id, operator_id) do update set
        topups = s.topups + v_sign * excluded.topups,
        transactions = s.transactions + v_sign * excluded.transactions,
        spent_minor = s.spent_minor + v_sign * excluded.spent_minor;

      insert into guerdon.customer_activity_daily as d (
        tenant_id, customer_id, operator_id, day, topups, transactions, spent_minor)
      select
        p_tenant, b.customer_id, o.operator_id, b.day, count(*) filter (where b.kind = 'topup'), count(*),
        coalesce(sum(b.amount) filter (where b.currency = v_currency), 0)
      from unnest(v_customers, v_operators, v_days, v_kinds, v_amounts, v_currencies, v_effects)
        as b (customer_id, operator_id, day, kind, amount, currency, effect)
      cross join lateral (values (c_all_operators), (b.operator_id)) as o (operator_id)
      where b.effect = v_sign and o.operator_id is not null
      group by b.customer_id, o.operator_id, b.day
      on conflict (tenant_id, customer_id, operator_id, day) do update set
        topups = d.topups + v_sign * excluded.topups,
        transactions = d.transactions + v_sign * excluded.transactions,
        spent_minor = d.spent_minor + v_sign * excluded.spent_minor;
    end loop;
  exception
    when sqlstate 'GD003' then null;
    when numeric_value_out_of_range then o_is_beyond := true;
  end;
  if o_is_beyond or o_conflicts is not null then
    o_inserted := 0;
    o_updated := 0;
    o_unchanged := 0;
  end if;
  o_conflicts := array(select distinct c.id from unnest(o_conflicts) as c (id) order by c.id);
end
$$;

revoke all on function guerdon.record_transactions_v1 from public;
grant execute on function guerdon.record_transactions_v1 to guerdon_app;
