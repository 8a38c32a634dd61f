-- The textbook transaction as one function: every request is one statement, which is its own transaction.
-- Works on the tables of textbook.sql, and does what textbook.py does in the same order.
--
-- Inputs: the offer, the user, what is paid and what is taken off (minor units).
-- Outcomes: o_count, the use's number, or o_refusal, why there is none; then nothing was written.
-- Locks: the offer's row, until the commit.

create function textbook.redeem_offer(
  p_offer    uuid,
  p_user     uuid,
  p_paid     bigint,
  p_discount bigint,
  out o_count   integer,
  out o_refusal text)
language plpgsql
volatile
as $$
declare
  v_per_user integer;
  v_total    integer;
  v_used     integer;
begin
  select per_user_limit, total_usage_limit, usage_count into v_per_user, v_total, v_used
  from textbook.offers
  where id = p_offer and status = 'active' and deleted_at is null
    and (starts_at is null or starts_at <= now()) and (ends_at is null or now() < ends_at)
  for update;
  if not found then
    o_refusal := 'Offer inactive';
  elsif not textbook.is_user_eligible_for_offer(p_offer, p_user) then
    o_refusal := 'User not eligible';
  elsif v_per_user <= (
    select count(*) from textbook.offer_redemptions where offer_id = p_offer and user_id = p_user)
  then
    o_refusal := 'Per-user limit reached';
  elsif v_used >= v_total then
    o_refusal := 'Offer exhausted';
  else
    update textbook.offers set usage_count = usage_count + 1 where id = p_offer
    returning usage_count into o_count;
    insert into textbook.offer_redemptions (offer_id, user_id, price_paid, discount_amount)
    values (p_offer, p_user, p_paid, p_discount);
  end if;
end
$$;
