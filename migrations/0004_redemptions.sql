-- Redemptions: one row for each counted use, written by functions/redeem_v1.sql alone.
-- No foreign keys here: each would lock and read its parent for every row. The audit of the load test
-- and of the tests proves the references instead.

-- migrate:up

create table guerdon.redemptions (
  tenant_id      uuid        not null,
  request_id     uuid        not null,
  position       smallint    not null default 0,
  body_hash      bytea,
  offer_id       uuid,
  offer_version  integer,
  slot           smallint,
  sequence       bigint,
  customer_id    uuid,
  customer_use   integer,
  target_id      uuid,
  order_ref      text,
  currency       text,
  list_minor     bigint,
  discount_minor bigint,
  paid_minor     bigint,
  redeemed_at    timestamptz,
  revoked_at     timestamptz,
  revoke_reason  text,
  constraint redemptions_pkey primary key (tenant_id, request_id, position),
  constraint redemptions_position_in_range check (position between 0 and 31),
  constraint redemptions_whole_or_tombstone check (
    num_nulls(body_hash, offer_id, offer_version, slot, sequence, customer_id, customer_use, currency,
              list_minor, discount_minor, paid_minor, redeemed_at) = 0
    or (position = 0 and revoked_at is not null and num_nonnulls(
          body_hash, offer_id, offer_version, slot, sequence, customer_id, customer_use, target_id,
          order_ref, currency, list_minor, discount_minor, paid_minor, redeemed_at) = 0)),
  constraint redemptions_money_adds_up check (
    list_minor = paid_minor + discount_minor and discount_minor >= 0 and paid_minor >= 0)
) with (fillfactor = 90);
comment on table guerdon.redemptions is
  'The caller''s request id is the redemption''s id. A row without an offer is a tombstone: its request was '
  'revoked before it arrived and can never redeem.';

-- These indexes do not begin with tenant_id, so that no plan can mistake one of them for the primary key.
create index redemptions_by_offer on guerdon.redemptions (offer_id, slot, sequence) where offer_id is not null;
create index redemptions_by_customer on guerdon.redemptions (customer_id, redeemed_at)
  where customer_id is not null;
create unique index redemptions_live_order on guerdon.redemptions (tenant_id, offer_id, order_ref)
  where order_ref is not null and revoked_at is null;

create table guerdon.redemption_lines (
  tenant_id        uuid     not null,
  request_id       uuid     not null,
  position         smallint not null default 0,
  line_number      smallint not null default 0,
  product_id       uuid,
  quantity         integer  not null,
  unit_price_minor bigint   not null,
  list_minor       bigint   not null,
  discount_minor   bigint   not null,
  paid_minor       bigint   not null,
  constraint redemption_lines_pkey primary key (tenant_id, request_id, position, line_number),
  constraint redemption_lines_quantity_positive check (quantity >= 1),
  constraint redemption_lines_money_adds_up check (
    list_minor = quantity * unit_price_minor and list_minor = paid_minor + discount_minor
    and discount_minor >= 0 and paid_minor >= 0)
);

create table guerdon.offer_effects (
  tenant_id   uuid        not null,
  offer_id    uuid        not null,
  slot        smallint    not null,
  sequence    bigint      not null,
  kind        text        not null,
  request_id  uuid,
  version     integer     not null,
  occurred_at timestamptz not null,
  constraint offer_effects_pkey primary key (tenant_id, offer_id, slot, sequence),
  constraint offer_effects_kind_known check (kind in ('revoked', 'edited')),
  constraint offer_effects_revoke_names_request check ((kind = 'revoked') = (request_id is not null))
);
comment on table guerdon.offer_effects is
  'The effects on a counter that are not redemptions; a redemption row is its own entry in the sequence.';

do $$
declare
  v_table text;
begin
  foreach v_table in array array['redemptions', 'redemption_lines', 'offer_effects']
  loop
    execute format('alter table guerdon.%I enable row level security', v_table);
    execute format('alter table guerdon.%I force row level security', v_table);
    execute format(
      'create policy %I on guerdon.%I '
      'using (tenant_id = nullif(current_setting(''guerdon.tenant_id'', true), '''')::uuid)',
      v_table || '_own', v_table);
    execute format('grant select, insert on guerdon.%I to guerdon_app', v_table);
  end loop;
end
$$;
-- The one thing that ever changes in a redemption is that it is revoked.
grant update (revoked_at, revoke_reason) on guerdon.redemptions to guerdon_app;

-- migrate:down

drop table guerdon.offer_effects, guerdon.redemption_lines, guerdon.redemptions;
