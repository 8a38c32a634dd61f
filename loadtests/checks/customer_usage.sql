-- Each customer's usage equals their rows: live ones as used, all of them as last use.
with rows as (
  select r.offer_id, r.customer_id, count(*) as uses,
         count(*) filter (where r.revoked_at is null) as used
  from guerdon.redemptions r
  where r.tenant_id = $1 and r.offer_id = any ($2::uuid[])
  group by r.offer_id, r.customer_id
),
counted as (
  select u.offer_id, u.customer_id, u.used, u.last_use
  from guerdon.offer_customer_usage u
  where u.tenant_id = $1 and u.offer_id = any ($2::uuid[])
)
select format('offer %s, a customer: usage %s of %s, rows %s of %s',
              offer_id, u.used, u.last_use, r.used, r.uses) as detail
from counted u
full join rows r using (offer_id, customer_id)
where coalesce(u.used, 0) <> coalesce(r.used, 0) or coalesce(u.last_use, 0) <> coalesce(r.uses, 0)
