-- Each revoked redemption has given its use back exactly once.
select format('request %s: revoked at %s, given back %s times', request_id, r.revoked_at,
              coalesce(e.times, 0)) as detail
from (
  select x.request_id, x.revoked_at
  from guerdon.redemptions x
  where x.tenant_id = $1 and x.offer_id = any ($2::uuid[]) and x.revoked_at is not null
) as r
full join (
  select x.request_id, count(*) as times
  from guerdon.offer_effects x
  where x.tenant_id = $1 and x.offer_id = any ($2::uuid[]) and x.kind = 'revoked'
  group by x.request_id
) as e using (request_id)
where r.revoked_at is null or e.times is distinct from 1
