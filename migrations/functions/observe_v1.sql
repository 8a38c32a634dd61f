-- observe_v1: what one snapshot says of a batch of items of one tenant. It locks and writes nothing.
--
-- Purpose: confirms provisional refusals of Redeem, and answers what CheckEligibility, Quote and
-- ListApplicableOffers must ask of Postgres. Called by adapters/postgres/redemptions.py.
--
-- Inputs, parallel arrays, a row an item; a null asks nothing:
--   p_request_ids; p_offers or p_codes (normalised); p_customers; p_products; p_targets; p_order_refs
--   p_explain   whether to explain every rule of the item's offer
--
-- Outcomes, a row an item:
--   o_known         null: the request id is not known; 0: granted; 10: revoked before it arrived
--   o_body_hashes   of what was granted
--   o_offers        the offer named, by its id or live code; o_versions is null where there is none
--   o_verdicts      0, or why not this customer (domain/refusals.py, 40 to 42)
--   counts          of committed, live redemptions; limits null where there is none
-- Look-ups are lateral with `limit 1`, for the reason that redeem_v1.sql gives. STABLE, so that all
-- statements in it share the caller's snapshot.

create or replace function guerdon.observe_v1(
  p_tenant      uuid,
  p_request_ids uuid[],
  p_offers      uuid[],
  p_codes       text[],
  p_customers   uuid[],
  p_products    uuid[],
  p_targets     uuid[],
  p_order_refs  text[],
  p_explain     boolean,
  out o_now             timestamptz,
  out o_known           smallint[],
  out o_body_hashes     bytea[],
  out o_offers          uuid[],
  out o_versions        integer[],
  out o_used            bigint[],
  out o_total_limits    bigint[],
  out o_customer_limits integer[],
  out o_customer_used   integer[],
  out o_target_used     bigint[],
  out o_order_used      boolean[],
  out o_facts           bigint[],
  out o_verdicts        smallint[],
  out o_explanations    jsonb[]
)
language plpgsql
stable
set search_path = pg_catalog
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
begin
  perform set_config('guerdon.tenant_id', p_tenant::text, true);
  o_now := clock_timestamp();

  select
    array_agg(case when r.offer_id is not null then 0 when r.request_id is not null then 10 end
              order by w.n),
    array_agg(r.body_hash order by w.n)
  into o_known, o_body_hashes
  from unnest(p_request_ids) with ordinality as w (request_id, n)
  left join lateral (
    select x.request_id, x.offer_id, x.body_hash
    from guerdon.redemptions x
    where x.tenant_id = p_tenant and x.request_id = w.request_id and x.position = 0
    limit 1
  ) as r on true;

  o_offers := p_offers;
  if num_nonnulls(variadic p_codes) > 0 then
    select array_agg(coalesce(w.offer_id, o.offer_id) order by w.n)
    into o_offers
    from unnest(p_offers, p_codes) with ordinality as w (offer_id, code, n)
    left join lateral (
      select x.offer_id
      from guerdon.offers x
      where x.tenant_id = p_tenant and x.code_normalised = w.code
        and x.code_normalised is not null and x.deleted_at is null
      limit 1
    ) as o on true;
  end if;

  select
    array_agg(o.version order by w.n), array_agg(c.used order by w.n),
    array_agg(o.total_limit order by w.n), array_agg(o.per_customer_limit order by w.n),
    array_agg(coalesce(u.used, 0) order by w.n), array_agg(coalesce(t.used, 0) order by w.n)
  into o_versions, o_used, o_total_limits, o_customer_limits, o_customer_used, o_target_used
  from unnest(o_offers, p_customers, p_targets) with ordinality
    as w (offer_id, customer_id, target_id, n)
  left join lateral (
    select x.version, x.total_limit, x.per_customer_limit
    from guerdon.offers x
    where x.tenant_id = p_tenant and x.offer_id = w.offer_id and x.deleted_at is null
    limit 1
  ) as o on true
  left join lateral (
    select x.used
    from guerdon.offer_counters x
    where x.tenant_id = p_tenant and x.offer_id = w.offer_id and x.slot = 0
    limit 1
  ) as c on true
  left join lateral (
    select x.used
    from guerdon.offer_customer_usage x
    where x.tenant_id = p_tenant and x.offer_id = w.offer_id and x.customer_id = w.customer_id
    limit 1
  ) as u on true
  left join lateral (
    select x.used
    from guerdon.offer_product_counters x
    where x.tenant_id = p_tenant and x.offer_id = w.offer_id and x.target_id = w.target_id
    limit 1
  ) as t on true;

  select
    array_agg(r.request_id is not null order by w.n), array_agg(coalesce(p.facts_version, 0) order by w.n)
  into o_order_used, o_facts
  from unnest(o_offers, p_order_refs, p_products) with ordinality
    as w (offer_id, order_ref, product_id, n)
  left join lateral (
    select x.request_id
    from guerdon.redemptions x
    where x.tenant_id = p_tenant and x.offer_id = w.offer_id and x.order_ref = w.order_ref
      and x.order_ref is not null and x.revoked_at is null
    limit 1
  ) as r on true
  left join lateral (
    select x.facts_version
    from guerdon.products x
    where x.tenant_id = p_tenant and x.product_id = w.product_id
    limit 1
  ) as p on true;

  select j.p_verdicts, j.p_explanations
  into o_verdicts, o_explanations
  from guerdon.judge_customers_v1(p_tenant, o_offers, p_customers, o_now, p_explain) as j;
end
$$;

revoke all on function guerdon.observe_v1 from public;
grant execute on function guerdon.observe_v1 to guerdon_app;
