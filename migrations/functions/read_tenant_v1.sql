-- read_tenant_v1: a tenant's settings, as far as deciding and pricing read them.
--
-- Input: the tenant. Outcome: {tenant_id, name, ...} with the names of domain/tenants.py: Tenant; null
-- when there is none or it is deleted. It locks nothing.

create or replace function guerdon.read_tenant_v1(p_tenant uuid, out o_tenant json)
language plpgsql
stable
set search_path = pg_catalog
set enable_seqscan = off
as $$
begin
  perform set_config('guerdon.tenant_id', p_tenant::text, true);
  select json_build_object(
    'tenant_id', t.tenant_id,
    'name', t.name,
    'currency', t.currency,
    'time_zone', t.time_zone,
    'rounding', t.rounding,
    'price_source', t.price_source,
    'stock_limits', t.stock_limits,
    'default_locale', t.default_locale)
  into o_tenant
  from guerdon.tenants t
  where t.tenant_id = p_tenant and t.deleted_at is null;
end
$$;

revoke all on function guerdon.read_tenant_v1 from public;
grant execute on function guerdon.read_tenant_v1 to guerdon_app;
