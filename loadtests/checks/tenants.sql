-- No other tenant has a row of these offers.
select format('offer %s: %s rows of another tenant in %s', offer_id, count(*), kind) as detail
from (
  select offer_id, tenant_id, 'redemptions' as kind from guerdon.redemptions
  union all
  select offer_id, tenant_id, 'offer_customer_usage' from guerdon.offer_customer_usage
  union all
  select offer_id, tenant_id, 'offer_product_counters' from guerdon.offer_product_counters
  union all
  select offer_id, tenant_id, 'offer_counters' from guerdon.offer_counters
  union all
  select offer_id, tenant_id, 'offer_effects' from guerdon.offer_effects
) as every
where offer_id = any ($2::uuid[]) and tenant_id <> $1
group by offer_id, kind
