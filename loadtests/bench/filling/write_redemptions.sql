-- The redemptions of a fill.
--
-- Parameters: $1 the tenant; $2 minor units of each price, of which a tenth is taken off; $3 the currency.
-- The body's hash is one of nothing in particular: nobody will send these requests again.
insert into guerdon.redemptions (
  tenant_id, request_id, body_hash, offer_id, offer_version, slot, sequence, customer_id, customer_use,
  currency, list_minor, discount_minor, paid_minor, redeemed_at)
select
  $1, u.request_id, sha256(uuid_send(u.request_id)), u.offer_id, 1, 0, u.sequence, u.customer_id,
  u.customer_use, $3, $2::bigint, $2::bigint / 10, $2::bigint - $2::bigint / 10, u.redeemed_at
from filling.uses u
