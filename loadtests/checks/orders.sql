-- No order has two live uses of one offer at any moment of the offer's history.
with events as (
  select r.offer_id, r.slot, r.sequence, r.order_ref, 1 as change
  from guerdon.redemptions r
  where r.tenant_id = $1 and r.offer_id = any ($2::uuid[]) and r.order_ref is not null
  union all
  select e.offer_id, e.slot, e.sequence, r.order_ref, -1
  from guerdon.offer_effects e
  join guerdon.redemptions r
    on r.tenant_id = e.tenant_id and r.request_id = e.request_id and r.position = 0
  where e.tenant_id = $1 and e.offer_id = any ($2::uuid[]) and e.kind = 'revoked'
    and r.order_ref is not null
),
running as (
  select e.*, sum(e.change) over (partition by e.offer_id, e.order_ref order by e.slot, e.sequence) as used
  from events e
)
select format('offer %s at number %s: an order has %s uses', offer_id, sequence, used) as detail
from running
where used > 1
