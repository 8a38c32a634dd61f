-- upsert_suppliers_v1: take a batch of suppliers of one tenant, with products that they deliver.
--
-- Inputs: p_suppliers, an array of {supplier_id, name, deleted, supplier_products}, the latter an array of
-- {supplier_product_id, product_id, supplier_sku, cost_minor, currency, deleted}. The last of several with
-- one id counts; links that are not listed stay as they are, and a deleted supplier's links too. A link's
-- product need not be known. Without a currency, a cost is in the tenant's.
--
-- Outcomes: how many suppliers were inserted, changed (their links included), and left as they were. A
-- change of a link raises facts_version of its product, and of the product that it linked before, as in
-- upsert_products_v1, with the same message and the same o_products and o_versions.
--
-- Locks: suppliers by id; links by id, created before they are locked; products by id. No more than 1,000
-- links a call.

create or replace function guerdon.upsert_suppliers_v1(
  p_tenant    uuid,
  p_suppliers jsonb,
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
set enable_seqscan = off
set enable_bitmapscan = off
as $$
declare
  v_currency   text;
  v_now        timestamptz := clock_timestamp();
  v_new        uuid[];
  v_changed    uuid[];
  v_links      uuid[];
  v_suppliers  uuid[];
  v_products   uuid[];
  v_skus       text[];
  v_costs      bigint[];
  v_currencies text[];
  v_deleted    boolean[];
  v_is_changed boolean[];
  v_repriced   uuid[];
  v_product    uuid;
  v_version    bigint;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'facts are written on what the locks waited for: READ COMMITTED only'
      using errcode = 'GD002';
  end if;
  perform set_config('guerdon.tenant_id', p_tenant::text, true);
  select t.currency into strict v_currency from guerdon.tenants t where t.tenant_id = p_tenant;

  with written as (
    insert into guerdon.suppliers as k (tenant_id, supplier_id, name, received_at, updated_at, deleted_at)
    select distinct on (i.supplier_id)
      p_tenant, i.supplier_id, i.name, v_now, v_now, case when i.deleted then v_now end
    from rows from (
      jsonb_to_recordset(p_suppliers) as (supplier_id uuid, name text, deleted boolean)
    ) with ordinality as i (supplier_id, name, deleted, n)
    order by i.supplier_id, i.n desc
    on conflict (tenant_id, supplier_id) do update set
      name = excluded.name, updated_at = v_now,
      deleted_at = case when excluded.deleted_at is not null then coalesce(k.deleted_at, v_now) end
    where (k.name, k.deleted_at is null) is distinct from (excluded.name, excluded.deleted_at is null)
    returning k.supplier_id, k.received_at
  )
  select
    coalesce(array_agg(w.supplier_id) filter (where w.received_at = v_now), '{}'),
    coalesce(array_agg(w.supplier_id) filter (where w.received_at < v_now), '{}')
  into v_new, v_changed
  from written as w;

  select
    array_agg(l.supplier_product_id), array_agg(l.supplier_id), array_agg(l.product_id),
    array_agg(l.supplier_sku), array_agg(l.cost_minor), array_agg(coalesce(l.currency, v_currency)),
    array_agg(coalesce(l.deleted, false))
  into v_links, v_suppliers, v_products, v_skus, v_costs, v_currencies, v_deleted
  from (
    select distinct on (j.supplier_product_id) i.supplier_id, j.*
    from rows from (
      jsonb_to_recordset(p_suppliers) as (supplier_id uuid, supplier_products jsonb)
    ) with ordinality as i (supplier_id, supplier_products, n)
    cross join lateral rows from (
      jsonb_to_recordset(i.supplier_products) as (
        supplier_product_id uuid, product_id uuid, supplier_sku text, cost_minor bigint,
        currency text, deleted boolean)
    ) with ordinality as j (
      supplier_product_id, product_id, supplier_sku, cost_minor, currency, deleted, m)
    order by j.supplier_product_id, i.n desc, j.m desc
  ) as l;

  insert into guerdon.supplier_products (
    tenant_id, supplier_product_id, supplier_id, product_id, supplier_sku, cost_minor, currency,
    received_at, updated_at, deleted_at)
  select
    p_tenant, l.link_id, l.supplier_id, l.product_id, l.sku, l.cost, l.currency, v_now, v_now,
    case when l.deleted then v_now end
  from unnest(v_links, v_suppliers, v_products, v_skus, v_costs, v_currencies, v_deleted)
    as l (link_id, supplier_id, product_id, sku, cost, currency, deleted)
  order by l.link_id
  on conflict do nothing;

  perform from unnest(v_links) as l (link_id)
  cross join lateral (
    select from guerdon.supplier_products k
    where k.tenant_id = p_tenant and k.supplier_product_id = l.link_id
    for no key update
  ) as k;

  -- Of the links that are new or differ: their suppliers, and their products of before and of now.
  select
    array_agg(d.is_changed order by l.n),
    v_changed || array_agg(l.supplier_id) filter (where d.is_changed or d.is_new),
    array_agg(l.product_id) filter (where d.is_changed or d.is_new)
      || array_agg(k.product_id) filter (where d.is_changed)
  into v_is_changed, v_changed, v_repriced
  from unnest(v_links, v_suppliers, v_products, v_skus, v_costs, v_currencies, v_deleted) with ordinality
    as l (link_id, supplier_id, product_id, sku, cost, currency, deleted, n)
  cross join lateral (
    select x.* from guerdon.supplier_products x
    where x.tenant_id = p_tenant and x.supplier_product_id = l.link_id
    limit 1
  ) as k
  cross join lateral (
    select
      k.received_at = v_now as is_new,
      (k.supplier_id, k.product_id, k.supplier_sku, k.cost_minor, k.currency, k.deleted_at is not null)
        is distinct from (l.supplier_id, l.product_id, l.sku, l.cost, l.currency, l.deleted) as is_changed
  ) as d;

  insert into guerdon.supplier_products as k (
    tenant_id, supplier_product_id, supplier_id, product_id, supplier_sku, cost_minor, currency, deleted_at)
  select
    p_tenant, l.link_id, l.supplier_id, l.product_id, l.sku, l.cost, l.currency,
    case when l.deleted then v_now end
  from unnest(v_links, v_suppliers, v_products, v_skus, v_costs, v_currencies, v_deleted, v_is_changed)
    as l (link_id, supplier_id, product_id, sku, cost, currency, deleted, is_changed)
  where l.is_changed
  on conflict (tenant_id, supplier_product_id) do update set
    supplier_id = excluded.supplier_id, product_id = excluded.product_id,
    supplier_sku = excluded.supplier_sku, cost_minor = excluded.cost_minor,
    currency = excluded.currency, updated_at = v_now,
    deleted_at = case when excluded.deleted_at is not null then coalesce(k.deleted_at, v_now) end;

  o_products := '{}';
  o_versions := '{}';
  for v_product in select distinct r.id from unnest(v_repriced) as r (id) order by r.id loop
    update guerdon.products p
    set facts_version = p.facts_version + 1, updated_at = v_now
    where p.tenant_id = p_tenant and p.product_id = v_product
    returning p.facts_version into v_version;
    if found then
      o_products := o_products || v_product;
      o_versions := o_versions || v_version;
      perform pg_notify('guerdon_changes', format('product %s %s %s', p_tenant, v_product, v_version));
    end if;
  end loop;

  o_inserted := cardinality(v_new);
  select count(distinct c.id) into o_updated
  from unnest(v_changed) as c (id)
  where not c.id = any (v_new);
  select count(distinct i.supplier_id) - o_inserted - o_updated into o_unchanged
  from jsonb_to_recordset(p_suppliers) as i (supplier_id uuid);
end
$$;

revoke all on function guerdon.upsert_suppliers_v1 from public;
grant execute on function guerdon.upsert_suppliers_v1 to guerdon_app;
