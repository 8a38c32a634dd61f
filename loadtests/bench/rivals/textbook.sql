-- The tables that the textbook transaction needs, with the indexes it would be given.
create schema textbook;

create table textbook.offers (
  id uuid primary key,
  status text not null,
  eligibility_logic text not null default 'all',
  per_user_limit integer,
  total_usage_limit integer,
  usage_count integer not null default 0,
  starts_at timestamptz,
  ends_at timestamptz,
  deleted_at timestamptz
) with (fillfactor = 20);

create table textbook.offer_eligibility_rules (
  id uuid primary key default gen_random_uuid(),
  offer_id uuid not null references textbook.offers (id),
  rule_type text not null,
  params jsonb not null
);
create index on textbook.offer_eligibility_rules (offer_id);

create table textbook.offer_redemptions (
  id uuid primary key default gen_random_uuid(),
  offer_id uuid not null references textbook.offers (id),
  user_id uuid not null,
  price_paid bigint not null,
  discount_amount bigint not null,
  created_at timestamptz not null default now()
);
create index on textbook.offer_redemptions (offer_id, user_id);

create table textbook.users (id uuid primary key, created_at timestamptz not null);

create table textbook.topup_requests (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null,
  status text not null,
  created_at timestamptz not null
);
create index on textbook.topup_requests (user_id, created_at) where status = 'succeeded';

create function textbook.is_user_eligible_for_offer(p_offer uuid, p_user uuid)
returns boolean language plpgsql stable as $$
declare
  v_rule record;
  v_logic text;
  v_pass boolean;
begin
  select o.eligibility_logic into v_logic from textbook.offers o where o.id = p_offer;
  for v_rule in
    select r.rule_type, r.params from textbook.offer_eligibility_rules r where r.offer_id = p_offer
  loop
    v_pass := false;
    if v_rule.rule_type = 'new_user' then
      select now() - u.created_at <= (v_rule.params ->> 'account_age_days')::integer * interval '1 day'
      into v_pass
      from textbook.users u where u.id = p_user;
    elsif v_rule.rule_type = 'min_topups' then
      select count(*) >= (v_rule.params ->> 'count')::integer into v_pass
      from textbook.topup_requests t
      where t.user_id = p_user and t.status = 'succeeded'
        and t.created_at > now() - (v_rule.params ->> 'window_days')::integer * interval '1 day';
    end if;
    if v_logic = 'all' and v_pass is not true then
      return false;
    end if;
    if v_logic = 'any' and v_pass then
      return true;
    end if;
  end loop;
  return v_logic = 'all';
end
$$;
