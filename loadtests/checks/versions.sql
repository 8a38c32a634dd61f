-- Each redemption was counted by the version of its offer that was in force at its number.
with effects as (
  select r.offer_id, r.slot, r.sequence, r.offer_version as version, true as redeemed
  from guerdon.redemptions r
  where r.tenant_id = $1 and r.offer_id = any ($2::uuid[])
  union all
  select e.offer_id, e.slot, e.sequence, e.version, false
  from guerdon.offer_effects e
  where e.tenant_id = $1 and e.offer_id = any ($2::uuid[]) and e.kind = 'edited'
),
running as (
  select e.*, max(e.version) filter (where not e.redeemed)
           over (partition by e.offer_id, e.slot order by e.sequence) as edited
  from effects e
)
select format('offer %s at number %s: version %s, in force was %s',
              offer_id, sequence, version, coalesce(edited, 1)) as detail
from running
where redeemed and version <> coalesce(edited, 1)
