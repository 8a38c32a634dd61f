-- judge_customers_v1: may these customers have these offers? For one pair or for many, set-based.
--
-- Purpose: blocked customers, audience and the eight eligibility rules, for redeem_v1 (under its locks) and
-- observe_v1. The rule catalogue is guerdon/domain/rules.py; the table in the second statement says how each
-- type is measured, and tests hold the two together.
--
-- Inputs, parallel arrays, a row a pair: p_offers, p_customers. A null customer asks nothing (verdict 0); a
-- null offer asks only whether the customer is blocked. p_now decides what "today" is, in the tenant's zone.
--
-- Outcomes, a row a pair:
--   p_verdicts      0, or the first that applies, numbered as in domain/refusals.py: 40 the customer is
--                   blocked or deleted, 41 not in the audience (also: no such offer), 42 the rules say no
--   p_explanations  null unless p_explain; else every rule of the offer in its order, as an array of
--                   {rule_key, rule_type, passed, unit, required, actual, problem}; empty without rules
--
-- Facts. A customer is known when its customers row exists; for one that is not, every rule fails, and a
-- history without its account counts for nothing. For a known customer, no history is a count of zero.
-- A missing fact, a param that is missing or ill-typed, an unknown rule type: the rule fails, `problem`
-- says why, nothing is raised. The last Y days are those with day > today - Y. `actual` is at least
-- `required` to pass; for new_user (days since the account was made) and last_active_within (which of the
-- last days was the last active one, today being 1) it is at most `required`.
--
-- Cost: at most seven statements for any number of pairs, none of which reads history: a rule reads one row
-- of customer_stats, or as many rows of customer_activity_daily as its window has days (at most 366).
-- STABLE, so all of them share one snapshot. Plans: as in redeem_v1, look-ups by primary key, driven by
-- the arrays; lateral ones with `limit 1` and scalar subqueries leave the planner no other order.

create or replace function guerdon.judge_customers_v1(
  p_tenant    uuid,
  p_offers    uuid[],
  p_customers uuid[],
  p_now       timestamptz,
  p_explain   boolean,
  out p_verdicts     smallint[],
  out p_explanations jsonb[]
)
language plpgsql
stable
set search_path = pg_catalog
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
  c_all_operators constant uuid := '00000000-0000-0000-0000-000000000000';
  c_days_max      constant integer := 366;
  c_large         constant numeric := 9007199254740991;
  v_zone          text;
  v_today         date;
  v_ages          boolean;
  v_listed        uuid[];
  v_any           uuid[];
  v_pass_any      boolean[];
  v_known         boolean[];
  v_created_days  date[];
  v_offers        uuid[];
  v_rules         bigint[];
  v_keys          text[];
  v_types         text[];
  v_measures      text[];
  v_operators     uuid[];
  v_required      bigint[];
  v_windows       integer[];
  v_problems      text[];
  v_refused       bigint[];
  v_tested_pairs  bigint[];
  v_tested_rules  integer[];
  v_actuals       bigint[];
  v_passes        boolean[];
  v_pair          integer;
  v_passed        boolean[];
begin
  perform set_config('guerdon.tenant_id', p_tenant::text, true);

  -- What the offers ask for, once for each of them.
  select
    coalesce(array_agg(d.offer_id) filter (where o.audience_mode is distinct from 'everyone'), '{}'),
    coalesce(array_agg(d.offer_id) filter (where o.eligibility_logic = 'any'), '{}')
  into v_listed, v_any
  from (select distinct u.offer_id from unnest(p_offers) as u (offer_id)) as d
  left join lateral (
    select x.audience_mode, x.eligibility_logic
    from guerdon.offers x
    where x.tenant_id = p_tenant and x.offer_id = d.offer_id
    limit 1
  ) as o on true
  where d.offer_id is not null;

  select
    array_agg(q.offer_id), array_agg(q.rules), array_agg(q.offer_id = any (v_any)),
    array_agg(q.rule_key), array_agg(q.rule_type),
    array_agg(q.measure), array_agg(q.operator_id::uuid),
    array_agg(case when q.problem is null then q.required::bigint end),
    array_agg(q.window_days::integer), array_agg(q.problem)
  into
    v_offers, v_rules, v_pass_any,
    v_keys, v_types,
    v_measures, v_operators,
    v_required, v_windows, v_problems
  from (
    select
      d.offer_id, r.rules, r.rule_key, r.rule_type, t.measure,
      i.operator_id, i.required, i.window_days,
      case
        when t.measure is null then 'the rule type is not known'
        when i.required is null then
          format('param %s is not a whole number from %s to %s',
                 t.required_param, t.required_min, t.required_max)
        when i.window_days is null and (t.measure = 'active_days' or r.params ? t.window_param) then
          format('param %s is not a whole number from 1 to %s', t.window_param, c_days_max)
        when i.operator_id is null then 'param operator_id is not an id'
      end as problem
    from (select distinct u.offer_id from unnest(p_offers) as u (offer_id)) as d
    cross join lateral (
      select l.rule_number, l.rule_key, l.rule_type, l.params, count(*) over () as rules
      from guerdon.offer_rules l
      where l.tenant_id = p_tenant and l.offer_id = d.offer_id
    ) as r
    left join (values
      ('new_user',             'account_age',  'account_age_days', 0, c_large,    null,          false),
      ('min_topups',           'topups',       'count',            1, c_large,    'window_days', false),
      ('min_transactions',     'transactions', 'count',            1, c_large,    null,          false),
      ('min_spent',            'spent',        'amount_minor',     1, c_large,    'window_days', false),
      ('operator_topup_count', 'topups',       'count',            1, c_large,    'window_days', true),
      ('operator_spent',       'spent',        'amount_minor',     1, c_large,    'window_days', true),
      ('last_active_within',   'last_active',  'days',             1, c_days_max, null,          false),
      ('active_days',          'active_days',  'min_active_days',  1, c_days_max, 'days',        false)
    ) as t (rule_type, measure, required_param, required_min, required_max, window_param, of_operator)
      on t.rule_type = r.rule_type
    -- Every CASE looks at the type before it converts, so that no param whatever can raise.
    cross join lateral (
      select
        case when jsonb_typeof(r.params -> t.required_param) = 'number'
          then (r.params -> t.required_param)::numeric end as required,
        case when jsonb_typeof(r.params -> t.window_param) = 'number'
          then (r.params -> t.window_param)::numeric end as window_days,
        case when t.of_operator and jsonb_typeof(r.params -> 'operator_id') = 'string'
          then lower(r.params ->> 'operator_id') end as operator_id
      offset 0
    ) as n
    cross join lateral (
      select
        case when n.required between t.required_min and t.required_max
          and n.required = trunc(n.required) then n.required end as required,
        case when n.window_days between 1 and c_days_max
          and n.window_days = trunc(n.window_days) then n.window_days end as window_days,
        case
          when not t.of_operator then c_all_operators::text
          when n.operator_id <> c_all_operators::text
            and n.operator_id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
          then n.operator_id
        end as operator_id
    ) as i
    order by d.offer_id, r.rule_number
  ) as q;

  -- Which day it is, and what the rows of customers say.
  select x.time_zone into v_zone from guerdon.tenants x where x.tenant_id = p_tenant;
  v_today := (p_now at time zone v_zone)::date;
  v_ages := 'account_age' = any (v_measures);

  select
    coalesce(array_agg(case when c.status <> 'active' or c.deleted_at is not null then 40 else 0 end
                       order by p.n), '{}'),
    array_agg(c.customer_id is not null order by p.n),
    array_agg(case when v_ages and isfinite(c.created_at)
                then (c.created_at at time zone v_zone)::date end order by p.n)
  into p_verdicts, v_known, v_created_days
  from unnest(p_customers) with ordinality as p (customer_id, n)
  left join lateral (
    select x.customer_id, x.status, x.created_at, x.deleted_at
    from guerdon.customers x
    where x.tenant_id = p_tenant and x.customer_id = p.customer_id
    limit 1
  ) as c on true;

  if cardinality(v_listed) > 0 then
    select array_agg(p.n)
    into v_refused
    from unnest(p_offers, p_customers, p_verdicts) with ordinality as p (offer_id, customer_id, verdict, n)
    where p.verdict = 0
      and p.customer_id is not null
      and p.offer_id = any (v_listed)
      and (
        select true from guerdon.offer_allowed_customers a
        where a.tenant_id = p_tenant and a.offer_id = p.offer_id and a.customer_id = p.customer_id
      ) is null
      and (
        select true from guerdon.customer_roles h
        where h.tenant_id = p_tenant and h.customer_id = p.customer_id and (
          select true from guerdon.offer_allowed_roles a
          where a.tenant_id = p_tenant and a.offer_id = p.offer_id and a.role_name = h.role_name
        )
        limit 1
      ) is null;
    foreach v_pair in array coalesce(v_refused, '{}') loop
      p_verdicts[v_pair] := 41;
    end loop;
  end if;

  if v_offers is null then
    if p_explain then
      p_explanations := array_fill('[]'::jsonb, array[cardinality(p_customers)]);
    end if;
    return;
  end if;

  -- What each rule finds of each pair.
  select
    array_agg(p.n), array_agg(k.rule), array_agg(f.actual),
    array_agg(coalesce(case when v_measures[k.rule] in ('account_age', 'last_active')
      then f.actual <= v_required[k.rule] else f.actual >= v_required[k.rule] end, false))
  into v_tested_pairs, v_tested_rules, v_actuals, v_passes
  from unnest(p_offers, p_customers, p_verdicts, v_known, v_created_days) with ordinality
    as p (offer_id, customer_id, verdict, known, created_day, n)
  cross join lateral (select array_position(v_offers, p.offer_id) as first offset 0) as o
  cross join lateral (select generate_series(o.first, o.first + v_rules[o.first] - 1)::integer as rule) as k
  cross join lateral (
    select case
      when v_problems[k.rule] is not null or v_today is null or not p.known then null
      when v_measures[k.rule] = 'account_age' then v_today - p.created_day
      when v_measures[k.rule] = 'last_active' then (
        select v_today - max(d.day) + 1
        from guerdon.customer_activity_daily d
        where d.tenant_id = p_tenant and d.customer_id = p.customer_id
          and d.operator_id = c_all_operators and d.day > v_today - c_days_max
          and (d.transactions > 0 or d.reported))
      when v_measures[k.rule] = 'active_days' then (
        select count(*)
        from guerdon.customer_activity_daily d
        where d.tenant_id = p_tenant and d.customer_id = p.customer_id
          and d.operator_id = c_all_operators and d.day > v_today - v_windows[k.rule]
          and (d.transactions > 0 or d.reported))
      when v_windows[k.rule] is null then coalesce((
        select case v_measures[k.rule]
          when 'topups' then s.topups when 'transactions' then s.transactions else s.spent_minor end
        from guerdon.customer_stats s
        where s.tenant_id = p_tenant and s.customer_id = p.customer_id
          and s.operator_id = v_operators[k.rule]), 0)
      else (
        -- least() passes over a null: without the coalesce an empty window would be the largest.
        select least(
          coalesce(sum(case v_measures[k.rule] when 'topups' then d.topups else d.spent_minor end), 0),
          9223372036854775807)::bigint
        from guerdon.customer_activity_daily d
        where d.tenant_id = p_tenant and d.customer_id = p.customer_id
          and d.operator_id = v_operators[k.rule] and d.day > v_today - v_windows[k.rule])
    end as actual
    offset 0
  ) as f
  where p.customer_id is not null and (p_explain or p.verdict = 0);

  for i in 1 .. coalesce(cardinality(v_passes), 0) loop
    v_pair := v_tested_pairs[i];
    v_passed[v_pair] := case
      when v_passed[v_pair] is null then v_passes[i]
      when v_pass_any[v_tested_rules[i]] then v_passed[v_pair] or v_passes[i]
      else v_passed[v_pair] and v_passes[i]
    end;
  end loop;
  for i in 1 .. coalesce(array_upper(v_passed, 1), 0) loop
    if p_verdicts[i] = 0 and not v_passed[i] then
      p_verdicts[i] := 42;
    end if;
  end loop;

  if p_explain then
    select array_agg(coalesce(e.rules, '[]') order by p.n)
    into p_explanations
    from unnest(p_customers) with ordinality as p (customer_id, n)
    left join (
      select t.pair, jsonb_agg(jsonb_build_object(
        'rule_key', v_keys[t.rule], 'rule_type', v_types[t.rule], 'passed', t.passed,
        'unit', case
          when v_measures[t.rule] is null then ''
          when v_measures[t.rule] = 'spent' then 'minor_units'
          when v_measures[t.rule] in ('topups', 'transactions') then v_measures[t.rule]
          else 'days'
        end,
        'required', v_required[t.rule], 'actual', t.actual,
        'problem', case when t.actual is null then coalesce(v_problems[t.rule], case
          when v_today is null then 'the tenant is not known'
          when not v_known[t.pair] then 'the customer is not known'
          when v_measures[t.rule] = 'account_age' then 'the customer''s creation time is not known'
          else format('no activity of the customer is known in the last %s days', c_days_max)
        end) end
      ) order by t.rule) as rules
      from unnest(v_tested_pairs, v_tested_rules, v_actuals, v_passes) as t (pair, rule, actual, passed)
      group by t.pair
    ) as e on e.pair = p.n;
  end if;
end
$$;

revoke all on function guerdon.judge_customers_v1 from public;
grant execute on function guerdon.judge_customers_v1 to guerdon_app;
