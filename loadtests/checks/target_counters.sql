-- Each target's counter equals its live rows.
with live as (
  select r.offer_id, r.target_id, count(*) as used
  from guerdon.redemptions r
  where r.tenant_id = $1 and r.offer_id = any ($2::uuid[])
    and r.target_id is not null and r.revoked_at is null
  group by r.offer_id, r.target_id
),
counted as (
  select c.offer_id, c.target_id, c.used
  from guerdon.offer_product_counters c
  where c.tenant_id = $1 and c.offer_id = any ($2::uuid[])
)
select format('offer %s, target %s: counter %s, rows %s', offer_id, target_id, c.used, r.used) as detail
from counted c
full join live r using (offer_id, target_id)
where coalesce(c.used, 0) <> coalesce(r.used, 0)
