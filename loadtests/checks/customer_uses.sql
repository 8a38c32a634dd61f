-- Each customer's uses of an offer are numbered from 1 without gap or double, in the offer's order.
with steps as (
  select r.offer_id, r.customer_use,
         row_number() over (partition by r.offer_id, r.customer_id order by r.slot, r.sequence) as due
  from guerdon.redemptions r
  where r.tenant_id = $1 and r.offer_id = any ($2::uuid[])
)
select format('offer %s: a customer''s use %s is numbered %s', offer_id, due, customer_use) as detail
from steps
where customer_use <> due
