-- The effects on each offer are numbered from 1 to the counter's last, without gap or double.
with effects as (
  select r.offer_id, r.slot, r.sequence
  from guerdon.redemptions r
  where r.tenant_id = $1 and r.offer_id = any ($2::uuid[])
  union all
  select e.offer_id, e.slot, e.sequence
  from guerdon.offer_effects e
  where e.tenant_id = $1 and e.offer_id = any ($2::uuid[])
),
steps as (
  select offer_id, slot, sequence,
         coalesce(lag(sequence) over (partition by offer_id, slot order by sequence), 0) as before
  from effects
)
select format('offer %s: number %s follows %s', offer_id, sequence, before) as detail
from steps
where sequence <> before + 1
union all
select format('offer %s: the counter says %s, the last effect is %s',
              c.offer_id, c.last_sequence, coalesce(e.last, 0))
from guerdon.offer_counters c
left join (select offer_id, slot, max(sequence) as last from effects group by offer_id, slot) as e
  on e.offer_id = c.offer_id and e.slot = c.slot
where c.tenant_id = $1 and c.offer_id = any ($2::uuid[])
  and c.last_sequence <> coalesce(e.last, 0)
