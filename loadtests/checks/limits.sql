-- No limit of the version in force is exceeded at any moment of the offer's history.
with events as (
  select r.offer_id, r.sequence, r.offer_version as version, r.customer_id, r.target_id, 1 as change
  from guerdon.redemptions r
  where r.tenant_id = $1 and r.offer_id = any ($2::uuid[])
  union all
  select e.offer_id, e.sequence, e.version, r.customer_id, r.target_id, -1
  from guerdon.offer_effects e
  join guerdon.redemptions r
    on r.tenant_id = e.tenant_id and r.request_id = e.request_id and r.position = 0
  where e.tenant_id = $1 and e.offer_id = any ($2::uuid[]) and e.kind = 'revoked'
),
running as (
  select e.*,
         sum(e.change) over (partition by e.offer_id order by e.sequence) as total_used,
         sum(e.change) over (partition by e.offer_id, e.customer_id order by e.sequence) as customer_used,
         sum(e.change) over (partition by e.offer_id, e.target_id order by e.sequence) as target_used
  from events e
),
said as (
  select v.offer_id, v.version, v.content -> 'offer' as offer
  from guerdon.offer_versions v
  where v.tenant_id = $1 and v.offer_id = any ($2::uuid[])
),
version_limits as (
  select offer_id, version, (offer ->> 'total_limit')::bigint as total_limit,
         (offer ->> 'per_customer_limit')::bigint as customer_limit
  from said
),
target_limits as (
  select s.offer_id, s.version, (t ->> 'max_uses')::bigint as target_limit,
         coalesce(t ->> 'product_id', t ->> 'supplier_product_id', t ->> 'supplier_id')::uuid as target_id
  from said s
  cross join lateral jsonb_array_elements(coalesce(s.offer -> 'targets', '[]')) as t
)
select format('offer %s at number %s: total %s of %s, customer %s of %s, target %s of %s',
              r.offer_id, r.sequence, r.total_used, l.total_limit, r.customer_used, l.customer_limit,
              r.target_used, t.target_limit) as detail
from running r
left join version_limits l on l.offer_id = r.offer_id and l.version = r.version
left join target_limits t
  on t.offer_id = r.offer_id and t.version = r.version and t.target_id = r.target_id
where r.change = 1
  and (r.total_used > l.total_limit or r.customer_used > l.customer_limit
       or r.target_used > t.target_limit)
