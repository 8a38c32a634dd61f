-- Each offer's counter equals the count and the discounts of its live rows.
select format('offer %s: counter %s uses, %s off; rows %s uses, %s off',
              o.offer_id, c.used, c.spent_minor, r.used, r.spent) as detail
from unnest($2::uuid[]) as o (offer_id)
left join guerdon.offer_counters c
  on c.tenant_id = $1 and c.offer_id = o.offer_id and c.slot = 0
cross join lateral (
  select count(*) as used, coalesce(sum(x.discount_minor), 0) as spent
  from guerdon.redemptions x
  where x.tenant_id = $1 and x.offer_id = o.offer_id and x.revoked_at is null
) as r
where (c.used, c.spent_minor) is distinct from (r.used, r.spent::bigint)
