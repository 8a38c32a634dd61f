-- read_redemptions_v1: the redemptions of some request ids of one tenant, tombstones left out.
--
-- Inputs: the tenant, distinct request ids. Outcome: one row a redemption with its line, in no order.
-- Called by itself, never joined; it locks nothing.

create or replace function guerdon.read_redemptions_v1(p_tenant uuid, p_request_ids uuid[])
returns table (
  request_id       uuid,
  "position"       smallint,
  offer_id         uuid,
  offer_version    integer,
  slot             smallint,
  sequence         bigint,
  customer_id      uuid,
  customer_use     integer,
  product_id       uuid,
  quantity         integer,
  unit_price_minor bigint,
  list_minor       bigint,
  discount_minor   bigint,
  paid_minor       bigint,
  currency         text,
  order_ref        text,
  redeemed_at      timestamptz,
  revoked_at       timestamptz,
  revoke_reason    text
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
  return query
  select
    r.request_id, r."position", r.offer_id, r.offer_version, r.slot, r.sequence, r.customer_id,
    r.customer_use, l.product_id, l.quantity, l.unit_price_minor, r.list_minor, r.discount_minor,
    r.paid_minor, r.currency, r.order_ref, r.redeemed_at, r.revoked_at, r.revoke_reason
  from unnest(p_request_ids) as w (request_id)
  cross join lateral (
    select x.*
    from guerdon.redemptions x
    where x.tenant_id = p_tenant and x.request_id = w.request_id and x."position" = 0
    limit 1
  ) as r
  cross join lateral (
    select x.product_id, x.quantity, x.unit_price_minor
    from guerdon.redemption_lines x
    where x.tenant_id = p_tenant and x.request_id = w.request_id and x."position" = 0
      and x.line_number = 0
    limit 1
  ) as l
  where r.offer_id is not null;
end
$$;

revoke all on function guerdon.read_redemptions_v1 from public;
grant execute on function guerdon.read_redemptions_v1 to guerdon_app;
