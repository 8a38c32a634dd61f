-- list_live_offers_v1: which offers of a tenant may redeem by their status, and as which version.
--
-- Purpose: the cheap question by which a server finds out what of its copy is behind. It is asked every
-- few seconds, and nearly always nothing changed: then a fingerprint is all of the answer.
--
-- Inputs: the tenant; the fingerprint of the last answer, or null. Outcomes: o_tenant, {tenant_id, name,
-- ...} with the names of domain/tenants.py: Tenant, null when there is no such tenant or it is deleted;
-- o_fingerprint of all that follows; and, unless it is p_known, parallel arrays, in no order, of the
-- scheduled and active offers that are not deleted: id, version, and when that version was written (two
-- histories of one id, as after a restore from a backup, may use the same version number, but not at
-- the same microsecond). The arrays are null when the fingerprint is p_known.
-- It locks nothing.
--
-- Plans: an index-only scan of offers_live. Planned anew for each call, because a plan made on an empty
-- table may take the primary key and read all that a tenant ever offered.

create or replace function guerdon.list_live_offers_v1(
  p_tenant          uuid,
  p_known           text,
  out o_tenant      json,
  out o_fingerprint text,
  out o_offers      uuid[],
  out o_versions    integer[],
  out o_updated     timestamptz[])
language plpgsql
stable
set search_path = pg_catalog
set plan_cache_mode = force_custom_plan
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
  select format('%s:%s', count(*), sum(hash_record_extended(
    row(o.offer_id, o.version, o.updated_at), 0)))
  into o_fingerprint
  from guerdon.offers o
  where o.tenant_id = p_tenant and o.status in ('scheduled', 'active') and o.deleted_at is null;
  if o_fingerprint = p_known then
    return;
  end if;
  select coalesce(array_agg(o.offer_id), '{}'), coalesce(array_agg(o.version), '{}'),
         coalesce(array_agg(o.updated_at), '{}')
  into o_offers, o_versions, o_updated
  from guerdon.offers o
  where o.tenant_id = p_tenant and o.status in ('scheduled', 'active') and o.deleted_at is null;
end
$$;

revoke all on function guerdon.list_live_offers_v1 from public;
grant execute on function guerdon.list_live_offers_v1 to guerdon_app;
