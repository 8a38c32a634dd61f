-- What the lines, the customers' usage and the counters are after the redemptions of a fill.
--
-- Parameters: $1 the tenant; $2 minor units of each price, of which a tenth is taken off.
with lines as (
  insert into guerdon.redemption_lines (
    tenant_id, request_id, quantity, unit_price_minor, list_minor, discount_minor, paid_minor)
  select $1, u.request_id, 1, $2::bigint, $2::bigint, $2::bigint / 10, $2::bigint - $2::bigint / 10
  from filling.uses u
),
usage as (
  insert into guerdon.offer_customer_usage (tenant_id, offer_id, customer_id, used, last_use)
  select $1, u.offer_id, u.customer_id, count(*), max(u.customer_use)
  from filling.uses u
  group by u.offer_id, u.customer_id
  order by min(u.redeemed_at)
)
update guerdon.offer_counters c
set used = s.used, spent_minor = s.used * ($2::bigint / 10), last_sequence = s.last_sequence
from (
  select u.offer_id, count(*) as used, max(u.sequence) as last_sequence
  from filling.uses u
  group by u.offer_id
) as s
where c.tenant_id = $1 and c.offer_id = s.offer_id and c.slot = 0
