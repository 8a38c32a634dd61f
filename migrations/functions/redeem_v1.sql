-- redeem_v1: decide and count a batch of redemptions of one tenant, in one autocommit statement.
--
-- Purpose: the only place that grants. Called by adapters/postgres/redemptions.py with items that the
-- guards let pass and that one offer version priced.
--
-- Inputs. Items are rows over parallel arrays, in arrival order; what several items share is sent once
-- and referred to by its 1-based number:
--   p_offers                    distinct offers
--   p_pair_offers, p_pair_customers    distinct (offer, customer)
--   p_target_offers, p_targets, p_target_limits
--                               distinct (offer, target) that priced items; max_uses in redemption
--                               lines, null: unlimited
--   p_order_offers, p_order_refs       distinct (offer, order)
--   p_request_ids               distinct; p_body_hashes: SHA-256 of what was asked
--   p_offer_of, p_pair_of       number of the item's offer and pair
--   p_target_of, p_order_of     number of the item's target and order, null: none
--   p_versions                  offer version that priced the item
--   p_products, p_facts         product or null; version of its facts that priced it, null: not used
--   p_quantities (pieces), p_unit_prices, p_discounts (minor units), p_currencies
--
-- Outcomes, an item each: 0 granted, 1 granted before with this body, 2 priced by another version,
-- else a refusal's number (domain/refusals.py), the first in its order of precedence. Counters are those
-- after the batch. Nothing else is answered for a batch that cannot be written whole: GD001 when another
-- transaction committed one of the request ids meanwhile (send again), GD002 outside READ COMMITTED.
--
-- Locks, here and in revoke_v1 and in every edit of an offer:
--   1. offer_counters rows by offer_id, for no key update. An offer has one slot, and its row is the
--      offer's lock: usage, product counters and live orders of an offer are written under it alone.
--   2. primary keys of redemptions, by request id, last: whoever waits there wants nothing more.
-- Reads follow the locks, in statements of their own, so that each sees what the locks waited for.
--
-- Plans: generic, made once a connection, perhaps while the tables are empty, and still right when they
-- hold millions of rows. So every look-up is a lateral one with `limit 1`, which the planner cannot turn
-- into a join that reads the tenant, and every write of known rows goes by its primary key (on conflict).

create or replace function guerdon.redeem_v1(
  p_tenant         uuid,
  p_offers         uuid[],
  p_pair_offers    uuid[],
  p_pair_customers uuid[],
  p_target_offers  uuid[],
  p_targets        uuid[],
  p_target_limits  bigint[],
  p_order_offers   uuid[],
  p_order_refs     text[],
  p_request_ids    uuid[],
  p_body_hashes    bytea[],
  p_offer_of       integer[],
  p_pair_of        integer[],
  p_target_of      integer[],
  p_order_of       integer[],
  p_versions       integer[],
  p_products       uuid[],
  p_facts          bigint[],
  p_quantities     integer[],
  p_unit_prices    bigint[],
  p_discounts      bigint[],
  p_currencies     text[],
  out o_now             timestamptz,
  out o_outcomes        smallint[],
  out o_sequences       bigint[],
  out o_customer_uses   integer[],
  out o_facts           bigint[],
  out o_versions        integer[],
  out o_used            bigint[],
  out o_last_sequences  bigint[],
  out o_total_limits    bigint[],
  out o_customer_limits integer[],
  out o_pair_used       integer[]
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
  v_items         integer := cardinality(p_request_ids);
  v_granted       integer := 0;
  v_written       integer;
  v_known         bigint[];
  v_known_outcomes smallint[];
  v_statuses      text[];
  v_starts        timestamptz[];
  v_ends          timestamptz[];
  v_spent         bigint[];
  v_pair_last     integer[];
  v_pair_granted  boolean[];
  v_verdicts      smallint[];
  v_target_used   bigint[];
  v_order_used    boolean[];
  v_offer         integer;
  v_pair          integer;
  v_target        integer;
  v_outcome       smallint;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'redeem_v1 reads what its locks waited for: READ COMMITTED only'
      using errcode = 'GD002';
  end if;
  perform set_config('guerdon.tenant_id', p_tenant::text, true);

  -- The lateral subquery cannot be flattened, so the locks are taken in the order of the array.
  perform from unnest(array(select w.offer_id from unnest(p_offers) as w (offer_id) order by 1)) as w (offer_id)
  cross join lateral (
    select from guerdon.offer_counters x
    where x.tenant_id = p_tenant and x.offer_id = w.offer_id and x.slot = 0
    for no key update
  ) as c;

  o_now := clock_timestamp();

  select
    array_agg(o.version order by w.n), array_agg(o.status order by w.n),
    array_agg(o.starts_at order by w.n), array_agg(o.ends_at order by w.n),
    array_agg(o.total_limit order by w.n), array_agg(o.per_customer_limit order by w.n),
    array_agg(c.used order by w.n), array_agg(c.last_sequence order by w.n),
    array_agg(c.spent_minor order by w.n)
  into
    o_versions, v_statuses, v_starts, v_ends, o_total_limits, o_customer_limits,
    o_used, o_last_sequences, v_spent
  from unnest(p_offers) with ordinality as w (offer_id, n)
  left join lateral (
    select x.version, x.status, x.starts_at, x.ends_at, x.total_limit, x.per_customer_limit
    from guerdon.offers x
    where x.tenant_id = p_tenant and x.offer_id = w.offer_id and x.deleted_at is null
    limit 1
  ) as o on true
  left join lateral (
    select x.used, x.last_sequence, x.spent_minor
    from guerdon.offer_counters x
    where x.tenant_id = p_tenant and x.offer_id = w.offer_id and x.slot = 0
    limit 1
  ) as c on true;

  o_outcomes := array_fill(null::smallint, array[v_items]);
  o_sequences := array_fill(null::bigint, array[v_items]);
  o_customer_uses := array_fill(null::integer, array[v_items]);

  select
    array_agg(w.n),
    array_agg(case when r.offer_id is null then 10 when r.body_hash = w.body_hash then 1 else 11 end)
  into v_known, v_known_outcomes
  from unnest(p_request_ids, p_body_hashes) with ordinality as w (request_id, body_hash, n)
  cross join lateral (
    select x.offer_id, x.body_hash
    from guerdon.redemptions x
    where x.tenant_id = p_tenant and x.request_id = w.request_id and x.position = 0
    limit 1
  ) as r;
  for i in 1 .. coalesce(cardinality(v_known), 0) loop
    o_outcomes[v_known[i]] := v_known_outcomes[i];
  end loop;

  if num_nonnulls(variadic p_facts) > 0 then
    select array_agg(coalesce(p.facts_version, 0) order by w.n)
    into o_facts
    from unnest(p_products) with ordinality as w (product_id, n)
    left join lateral (
      select x.facts_version
      from guerdon.products x
      where x.tenant_id = p_tenant and x.product_id = w.product_id
      limit 1
    ) as p on true;
  end if;

  select
    array_agg(coalesce(u.used, 0) order by w.n), array_agg(coalesce(u.last_use, 0) order by w.n)
  into o_pair_used, v_pair_last
  from unnest(p_pair_offers, p_pair_customers) with ordinality as w (offer_id, customer_id, n)
  left join lateral (
    select x.used, x.last_use
    from guerdon.offer_customer_usage x
    where x.tenant_id = p_tenant and x.offer_id = w.offer_id and x.customer_id = w.customer_id
    limit 1
  ) as u on true;
  v_pair_granted := array_fill(false, array[cardinality(p_pair_offers)]);

  select j.p_verdicts into v_verdicts
  from guerdon.judge_customers_v1(p_tenant, p_pair_offers, p_pair_customers, o_now, false) as j;

  if cardinality(p_targets) > 0 then
    select array_agg(coalesce(c.used, 0) order by w.n)
    into v_target_used
    from unnest(p_target_offers, p_targets) with ordinality as w (offer_id, target_id, n)
    left join lateral (
      select x.used
      from guerdon.offer_product_counters x
      where x.tenant_id = p_tenant and x.offer_id = w.offer_id and x.target_id = w.target_id
      limit 1
    ) as c on true;
  end if;

  if cardinality(p_order_refs) > 0 then
    select array_agg(r.request_id is not null order by w.n)
    into v_order_used
    from unnest(p_order_offers, p_order_refs) with ordinality as w (offer_id, order_ref, n)
    left join lateral (
      select x.request_id
      from guerdon.redemptions x
      where x.tenant_id = p_tenant and x.offer_id = w.offer_id and x.order_ref = w.order_ref
        and x.order_ref is not null and x.revoked_at is null
      limit 1
    ) as r on true;
  end if;

  for i in 1 .. v_items loop
    continue when o_outcomes[i] is not null;
    v_offer := p_offer_of[i];
    v_pair := p_pair_of[i];
    v_target := p_target_of[i];
    v_outcome := case
      when o_versions[v_offer] is distinct from p_versions[i] then 2
      when p_facts[i] is not null and o_facts[i] <> p_facts[i] then 2
      when v_statuses[v_offer] not in ('scheduled', 'active') then 21
      when o_now < v_starts[v_offer] then 22
      when o_now >= v_ends[v_offer] then 23
      when v_verdicts[v_pair] <> 0 then v_verdicts[v_pair]
      when v_order_used[p_order_of[i]] then 50
      when o_used[v_offer] >= o_total_limits[v_offer] then 51
      when v_target_used[v_target] >= p_target_limits[v_target] then 52
      when o_pair_used[v_pair] >= o_customer_limits[v_offer] then 53
      else 0
    end;
    o_outcomes[i] := v_outcome;
    if v_outcome = 0 then
      v_granted := v_granted + 1;
      o_used[v_offer] := o_used[v_offer] + 1;
      v_spent[v_offer] := v_spent[v_offer] + p_discounts[i];
      o_last_sequences[v_offer] := o_last_sequences[v_offer] + 1;
      o_sequences[i] := o_last_sequences[v_offer];
      o_pair_used[v_pair] := o_pair_used[v_pair] + 1;
      v_pair_last[v_pair] := v_pair_last[v_pair] + 1;
      v_pair_granted[v_pair] := true;
      o_customer_uses[i] := v_pair_last[v_pair];
      if v_target is not null then
        v_target_used[v_target] := v_target_used[v_target] + 1;
      end if;
      if p_order_of[i] is not null then
        v_order_used[p_order_of[i]] := true;
      end if;
    end if;
  end loop;

  if v_granted = 0 then
    return;
  end if;

  insert into guerdon.redemptions (
    tenant_id, request_id, body_hash, offer_id, offer_version, slot, sequence, customer_id,
    customer_use, target_id, order_ref, currency, list_minor, discount_minor, paid_minor, redeemed_at)
  select
    p_tenant, g.request_id, g.body_hash, p_offers[g.offer], g.version, 0, g.sequence,
    p_pair_customers[g.pair], g.customer_use, p_targets[g.target], p_order_refs[g.order_number], g.currency,
    g.quantity * g.unit_price, g.discount, g.quantity * g.unit_price - g.discount, o_now
  from unnest(
    o_outcomes, p_request_ids, p_body_hashes, p_offer_of, p_versions, o_sequences, p_pair_of,
    o_customer_uses, p_target_of, p_order_of, p_currencies, p_quantities, p_unit_prices, p_discounts
  ) as g (
    outcome, request_id, body_hash, offer, version, sequence, pair,
    customer_use, target, order_number, currency, quantity, unit_price, discount)
  where g.outcome = 0
  order by g.request_id
  on conflict do nothing;
  get diagnostics v_written = row_count;
  if v_written <> v_granted then
    raise exception 'a request id of the batch was committed meanwhile' using errcode = 'GD001';
  end if;

  insert into guerdon.redemption_lines (
    tenant_id, request_id, product_id, quantity, unit_price_minor, list_minor, discount_minor, paid_minor)
  select
    p_tenant, g.request_id, g.product_id, g.quantity, g.unit_price, g.quantity * g.unit_price,
    g.discount, g.quantity * g.unit_price - g.discount
  from unnest(o_outcomes, p_request_ids, p_products, p_quantities, p_unit_prices, p_discounts)
    as g (outcome, request_id, product_id, quantity, unit_price, discount)
  where g.outcome = 0;

  insert into guerdon.offer_counters as c (
    tenant_id, offer_id, slot, used, spent_minor, last_sequence, version)
  select p_tenant, d.offer_id, 0, d.used, d.spent, d.last_sequence, d.version
  from unnest(p_offers, o_used, v_spent, o_last_sequences, o_versions)
    as d (offer_id, used, spent, last_sequence, version)
  where d.version is not null
  on conflict (tenant_id, offer_id, slot) do update
  set used = excluded.used, spent_minor = excluded.spent_minor, last_sequence = excluded.last_sequence
  where c.last_sequence <> excluded.last_sequence;

  insert into guerdon.offer_customer_usage (tenant_id, offer_id, customer_id, used, last_use)
  select p_tenant, d.offer_id, d.customer_id, d.used, d.last_use
  from unnest(p_pair_offers, p_pair_customers, o_pair_used, v_pair_last, v_pair_granted)
    as d (offer_id, customer_id, used, last_use, granted)
  where d.granted
  on conflict (tenant_id, offer_id, customer_id)
  do update set used = excluded.used, last_use = excluded.last_use;

  if cardinality(p_targets) > 0 then
    insert into guerdon.offer_product_counters (tenant_id, offer_id, target_id, used)
    select p_tenant, d.offer_id, d.target_id, d.used
    from unnest(p_target_offers, p_targets, v_target_used) as d (offer_id, target_id, used)
    where d.used > 0
    on conflict (tenant_id, offer_id, target_id) do update set used = excluded.used;
  end if;
end
$$;

revoke all on function guerdon.redeem_v1 from public;
grant execute on function guerdon.redeem_v1 to guerdon_app;
