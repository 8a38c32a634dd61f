-- upsert_products_v1: take a batch of products of one tenant.
--
-- Inputs: p_products, an array of {product_id, sku, kind (operator | retail | service), operator_id,
-- category_id, names (an object of texts by locale), unit_name, unit_quantity, list_price_minor, cost_minor,
-- currency, stock_quantity, active, deleted}; the last of several with one id counts. What is null or left
-- out is not known and replaces what was known; without a currency, prices are in the tenant's.
--
-- Outcomes: how many products were inserted, changed, and left as they were. A change raises the product's
-- facts_version by one, so that a redemption priced by the facts before is priced again. o_products and
-- o_versions are the products written and their versions; a message 'product <tenant> <product> <version>'
-- for each, on guerdon_changes, tells the caches after the commit.
--
-- Locks: products by id. No more than 1,000 products a call: each change is a message of its own.

create or replace function guerdon.upsert_products_v1(
  p_tenant   uuid,
  p_products jsonb,
  out o_inserted  integer,
  out o_updated   integer,
  out o_unchanged integer,
  out o_products  uuid[],
  out o_versions  bigint[]
)
language plpgsql
volatile
set search_path = pg_catalog
set lock_timeout = '2000ms'
set plan_cache_mode = force_generic_plan
as $$
declare
  v_currency text;
  v_now      timestamptz := clock_timestamp();
  v_items    integer;
begin
  perform set_config('guerdon.tenant_id', p_tenant::text, true);
  select t.currency into strict v_currency from guerdon.tenants t where t.tenant_id = p_tenant;

  with written as (
    insert into guerdon.products as k (
      tenant_id, product_id, sku, kind, operator_id, category_id, names, unit_name, unit_quantity,
      list_price_minor, cost_minor, currency, stock_quantity, active, received_at, updated_at, deleted_at)
    select distinct on (i.product_id)
      p_tenant, i.product_id, i.sku, i.kind, i.operator_id, i.category_id, coalesce(i.names, '{}'),
      i.unit_name, i.unit_quantity, i.list_price_minor, i.cost_minor, coalesce(i.currency, v_currency),
      i.stock_quantity, coalesce(i.active, true), v_now, v_now, case when i.deleted then v_now end
    from rows from (
      jsonb_to_recordset(p_products) as (
        product_id uuid, sku text, kind text, operator_id uuid, category_id uuid, names jsonb,
        unit_name text, unit_quantity numeric, list_price_minor bigint, cost_minor bigint,
        currency text, stock_quantity bigint, active boolean, deleted boolean)
    ) with ordinality as i (
      product_id, sku, kind, operator_id, category_id, names, unit_name, unit_quantity,
      list_price_minor, cost_minor, currency, stock_quantity, active, deleted, n)
    order by i.product_id, i.n desc
    on conflict (tenant_id, product_id) do update set
      sku = excluded.sku, kind = excluded.kind, operator_id = excluded.operator_id,
      category_id = excluded.category_id, names = excluded.names, unit_name = excluded.unit_name,
      unit_quantity = excluded.unit_quantity, list_price_minor = excluded.list_price_minor,
      cost_minor = excluded.cost_minor, currency = excluded.currency,
      stock_quantity = excluded.stock_quantity, active = excluded.active,
      deleted_at = case when excluded.deleted_at is not null then coalesce(k.deleted_at, v_now) end,
      facts_version = k.facts_version + 1, updated_at = v_now
    where (
        k.sku, k.kind, k.operator_id, k.category_id, k.names, k.unit_name, k.unit_quantity,
        k.list_price_minor, k.cost_minor, k.currency, k.stock_quantity, k.active, k.deleted_at is null
      ) is distinct from (
        excluded.sku, excluded.kind, excluded.operator_id, excluded.category_id, excluded.names,
        excluded.unit_name, excluded.unit_quantity, excluded.list_price_minor, excluded.cost_minor,
        excluded.currency, excluded.stock_quantity, excluded.active, excluded.deleted_at is null)
    returning k.product_id, k.facts_version
  )
  select
    coalesce(array_agg(w.product_id), '{}'), coalesce(array_agg(w.facts_version), '{}'),
    count(*) filter (where w.facts_version = 1), count(*) filter (where w.facts_version > 1)
  into o_products, o_versions, o_inserted, o_updated
  from written as w;

  select count(distinct i.product_id) into v_items
  from jsonb_to_recordset(p_products) as i (product_id uuid);
  o_unchanged := v_items - o_inserted - o_updated;

  perform pg_notify('guerdon_changes', format('product %s %s %s', p_tenant, w.product_id, w.facts_version))
  from unnest(o_products, o_versions) as w (product_id, facts_version);
end
$$;

revoke all on function guerdon.upsert_products_v1 from public;
grant execute on function guerdon.upsert_products_v1 to guerdon_app;
