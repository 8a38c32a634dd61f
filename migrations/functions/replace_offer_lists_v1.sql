-- replace_offer_lists_v1: make the rows of what an offer lists equal to a version's content.
--
-- Purpose: a part of write_offer_v1, which holds the offer's lock and has set the tenant.
-- Inputs: the offer; p_content is domain/offers.py: OfferDraft as JSON.
-- Outcome: translations, targets, buy_get, rules and audience are what p_content says and nothing else.
-- Targets with max_uses have a counter row, which stays when the target goes: what was used was used.

create or replace function guerdon.replace_offer_lists_v1(
  p_tenant uuid, p_offer uuid, p_content jsonb)
returns void
language plpgsql
volatile
set search_path = pg_catalog
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
declare
  v_offer jsonb := p_content -> 'offer';
begin
  delete from guerdon.offer_translations where tenant_id = p_tenant and offer_id = p_offer;
  insert into guerdon.offer_translations (tenant_id, offer_id, locale, title, description)
  select p_tenant, p_offer, t.key, t.value ->> 'title', t.value ->> 'description'
  from jsonb_each(v_offer -> 'translations') as t;

  delete from guerdon.offer_products where tenant_id = p_tenant and offer_id = p_offer;
  insert into guerdon.offer_products (
    tenant_id, offer_id, target_id, product_id, supplier_product_id, supplier_id, fixed_price_minor,
    discount_bps, offer_quantity, max_quantity_per_purchase, max_uses)
  select
    p_tenant, p_offer, coalesce(t.product_id, t.supplier_product_id, t.supplier_id), t.product_id,
    t.supplier_product_id, t.supplier_id, t.fixed_price_minor, t.discount_bps, t.offer_quantity,
    t.max_quantity_per_purchase, t.max_uses
  from jsonb_to_recordset(v_offer -> 'targets') as t (
    product_id uuid, supplier_product_id uuid, supplier_id uuid, fixed_price_minor bigint,
    discount_bps integer, offer_quantity integer, max_quantity_per_purchase integer, max_uses bigint);

  insert into guerdon.offer_product_counters (tenant_id, offer_id, target_id)
  select p_tenant, p_offer, coalesce(t.product_id, t.supplier_product_id, t.supplier_id)
  from jsonb_to_recordset(v_offer -> 'targets') as t (
    product_id uuid, supplier_product_id uuid, supplier_id uuid, max_uses bigint)
  where t.max_uses is not null
  on conflict do nothing;

  delete from guerdon.offer_bogo_rules where tenant_id = p_tenant and offer_id = p_offer;
  insert into guerdon.offer_bogo_rules (
    tenant_id, offer_id, buy_quantity, get_quantity, get_discount_bps, groups_max)
  select p_tenant, p_offer, b.buy_quantity, b.get_quantity, b.get_discount_bps, b.groups_max
  from jsonb_to_record(nullif(v_offer -> 'buy_get', 'null')) as b (
    buy_quantity integer, get_quantity integer, get_discount_bps integer, groups_max integer)
  where jsonb_typeof(v_offer -> 'buy_get') = 'object';

  delete from guerdon.offer_rules where tenant_id = p_tenant and offer_id = p_offer;
  insert into guerdon.offer_rules (
    tenant_id, offer_id, rule_number, rule_key, rule_type, params, description)
  select p_tenant, p_offer, r.number, r.rule ->> 'rule_key', r.rule ->> 'rule_type',
         r.rule -> 'params', r.rule ->> 'description'
  from jsonb_array_elements(v_offer -> 'rules') with ordinality as r (rule, number);

  delete from guerdon.offer_allowed_customers where tenant_id = p_tenant and offer_id = p_offer;
  insert into guerdon.offer_allowed_customers (tenant_id, offer_id, customer_id)
  select p_tenant, p_offer, c.id::uuid
  from jsonb_array_elements_text(p_content -> 'allowed_customers') as c (id);

  delete from guerdon.offer_allowed_roles where tenant_id = p_tenant and offer_id = p_offer;
  insert into guerdon.offer_allowed_roles (tenant_id, offer_id, role_name)
  select p_tenant, p_offer, a.name
  from jsonb_array_elements_text(p_content -> 'allowed_roles') as a (name);
end
$$;

revoke all on function guerdon.replace_offer_lists_v1 from public;
grant execute on function guerdon.replace_offer_lists_v1 to guerdon_app;
