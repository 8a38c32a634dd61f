-- read_products_v1: facts of some products of one tenant with the suppliers that sell them, as JSON.
--
-- Inputs: the tenant, distinct product ids. Outcome: [{product_id, facts_version, kind, ...}] in no
-- order, with the names of domain/products.py: Product; unknown products are left out. A deleted product
-- has its version and nothing else, and is not active, since redeem_v1 compares that version. A deleted
-- link to a supplier is no link. One snapshot; it locks nothing.
--
-- Plans: products by primary key; links by supplier_products_by_product. On an empty table the links'
-- primary key costs the same, and would read all of a tenant's links once the table has grown: so this
-- is planned anew for each call, by the size that the tables have then.

create or replace function guerdon.read_products_v1(
  p_tenant       uuid,
  p_products     uuid[],
  out o_products json)
language plpgsql
stable
set search_path = pg_catalog
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
begin
  perform set_config('guerdon.tenant_id', p_tenant::text, true);
  select coalesce(json_agg(json_build_object(
    'product_id', p.product_id,
    'facts_version', p.facts_version,
    'kind', case when p.deleted_at is null then p.kind end,
    'operator_id', case when p.deleted_at is null then p.operator_id end,
    'suppliers', coalesce((
      select json_agg(json_build_object(
        'supplier_id', s.supplier_id,
        'supplier_product_id', s.supplier_product_id) order by s.supplier_product_id)
      from guerdon.supplier_products s
      where s.tenant_id = p_tenant and s.product_id = p.product_id
        and s.deleted_at is null and p.deleted_at is null), '[]'),
    'list_price_minor', case when p.deleted_at is null then p.list_price_minor end,
    'currency', case when p.deleted_at is null then p.currency end,
    'stock_quantity', case when p.deleted_at is null then p.stock_quantity end,
    'active', p.active and p.deleted_at is null)), '[]')
  into o_products
  from unnest(p_products) as w (product_id)
  cross join lateral (
    select * from guerdon.products x
    where x.tenant_id = p_tenant and x.product_id = w.product_id
    limit 1
  ) as p;
end
$$;

revoke all on function guerdon.read_products_v1 from public;
grant execute on function guerdon.read_products_v1 to guerdon_app;
