-- read_offers_v1: some offers of one tenant, whole, as one JSON array.
--
-- Purpose: fills the servers' caches and answers the admin API; adapters/postgres/offers.py decodes the
-- array into domain structs in one pass, which is several times cheaper than rows of columns.
--
-- Inputs: the tenant; distinct offer ids (at most a few hundred a call: the answer is built in memory);
-- normalised codes of live offers, or null; p_whole adds `record`, what only the admin API shows.
-- Outcome: [{offer, updated_at, record}] in no order, deleted offers and unknown ones left out. `offer`
-- has the names of domain/offers.py: Offer. Every part of one offer is of one version: one snapshot.
-- It locks nothing.
--
-- Plans: by primary keys and offers_live_code only, whatever the tables held when the plan was made:
-- lateral look-ups with `limit 1` and scalar subqueries leave the planner no other order.

create or replace function guerdon.read_offers_v1(
  p_tenant   uuid,
  p_offers   uuid[],
  p_codes    text[],
  p_whole    boolean,
  out o_offers json)
language plpgsql
stable
set search_path = pg_catalog
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
  v_offers uuid[] := p_offers;
begin
  perform set_config('guerdon.tenant_id', p_tenant::text, true);
  if p_codes is not null then
    select v_offers || coalesce(array_agg(found.offer_id), '{}') into v_offers
    from unnest(p_codes) as w (code)
    cross join lateral (
      select o.offer_id
      from guerdon.offers o
      where o.tenant_id = p_tenant and o.code_normalised = w.code
        and o.code_normalised is not null and o.deleted_at is null
      limit 1
    ) as found;
  end if;
  select coalesce(json_agg(json_build_object(
    'offer', json_build_object(
      'tenant_id', o.tenant_id,
      'offer_id', o.offer_id,
      'version', o.version,
      'kind', o.kind,
      'status', o.status,
      'code', o.code,
      'discount', json_build_object(
        'type', o.discount_type, 'bps', o.discount_bps, 'minor', o.discount_minor),
      'offer_quantity', o.offer_quantity,
      'buy_get', (
        select json_build_object(
          'buy_quantity', b.buy_quantity, 'get_quantity', b.get_quantity,
          'get_discount_bps', b.get_discount_bps, 'groups_max', b.groups_max)
        from guerdon.offer_bogo_rules b
        where b.tenant_id = p_tenant and b.offer_id = o.offer_id),
      'max_discount_minor', o.max_discount_minor,
      'currency', o.currency,
      'priority', o.priority,
      'auto_apply', o.auto_apply,
      'service_type', o.service_type,
      'product_scope', o.product_scope,
      'targets', coalesce((
        select json_agg(json_build_object(
          'product_id', t.product_id,
          'supplier_product_id', t.supplier_product_id,
          'supplier_id', t.supplier_id,
          'fixed_price_minor', t.fixed_price_minor,
          'discount_bps', t.discount_bps,
          'offer_quantity', t.offer_quantity,
          'max_quantity_per_purchase', t.max_quantity_per_purchase,
          'max_uses', t.max_uses) order by t.target_id)
        from guerdon.offer_products t
        where t.tenant_id = p_tenant and t.offer_id = o.offer_id), '[]'),
      'audience_mode', o.audience_mode,
      'eligibility_logic', o.eligibility_logic,
      'rules', coalesce((
        select json_agg(json_build_object(
          'rule_key', r.rule_key, 'rule_type', r.rule_type,
          'params', r.params, 'description', r.description) order by r.rule_number)
        from guerdon.offer_rules r
        where r.tenant_id = p_tenant and r.offer_id = o.offer_id), '[]'),
      'total_limit', o.total_limit,
      'per_customer_limit', o.per_customer_limit,
      'starts_at', o.starts_at,
      'ends_at', o.ends_at,
      'translations', coalesce((
        select json_object_agg(
          l.locale, json_build_object('title', l.title, 'description', l.description))
        from guerdon.offer_translations l
        where l.tenant_id = p_tenant and l.offer_id = o.offer_id), '{}')),
    'updated_at', o.updated_at,
    'record', case when p_whole then json_build_object(
      'allowed_customers', coalesce((
        select json_agg(c.customer_id order by c.customer_id)
        from guerdon.offer_allowed_customers c
        where c.tenant_id = p_tenant and c.offer_id = o.offer_id), '[]'),
      'allowed_roles', coalesce((
        select json_agg(a.role_name order by a.role_name collate "C")
        from guerdon.offer_allowed_roles a
        where a.tenant_id = p_tenant and a.offer_id = o.offer_id), '[]'),
      'internal_note', coalesce(o.internal_note, ''),
      'used', (
        select coalesce(sum(n.used), 0)::bigint
        from guerdon.offer_counters n
        where n.tenant_id = p_tenant and n.offer_id = o.offer_id),
      'targets_used', coalesce((
        select json_object_agg(u.target_id, u.used)
        from guerdon.offer_product_counters u
        where u.tenant_id = p_tenant and u.offer_id = o.offer_id), '{}'),
      'created_by', o.created_by,
      'created_at', o.created_at) end)), '[]')
  into o_offers
  from unnest(v_offers) as w (offer_id)
  cross join lateral (
    select * from guerdon.offers x
    where x.tenant_id = p_tenant and x.offer_id = w.offer_id and x.deleted_at is null
    limit 1
  ) as o;
end
$$;

revoke all on function guerdon.read_offers_v1 from public;
grant execute on function guerdon.read_offers_v1 to guerdon_app;
