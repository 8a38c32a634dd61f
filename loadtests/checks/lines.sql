-- Each redemption has one line with the same money, and no line is without its redemption.
select format('request %s: %s lines; the row says %s, the lines %s', r.request_id,
              count(l.request_id), r.paid_minor, sum(l.paid_minor)) as detail
from guerdon.redemptions r
left join guerdon.redemption_lines l
  on l.tenant_id = r.tenant_id and l.request_id = r.request_id and l.position = r.position
where r.tenant_id = $1 and r.offer_id = any ($2::uuid[])
group by r.request_id, r.position, r.list_minor, r.discount_minor, r.paid_minor
having (count(l.request_id), sum(l.list_minor), sum(l.discount_minor), sum(l.paid_minor))
  is distinct from (1, r.list_minor, r.discount_minor, r.paid_minor)
union all
select format('request %s: a line without redemption', l.request_id)
from guerdon.redemption_lines l
where l.tenant_id = $1 and not exists (
  select from guerdon.redemptions r
  where r.tenant_id = l.tenant_id and r.request_id = l.request_id and r.position = l.position
    and r.offer_id is not null)
