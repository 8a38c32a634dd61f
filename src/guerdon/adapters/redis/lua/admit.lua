-- admit.lua: which road each use of one offer takes. Reads only; never decides.
--
-- KEYS[1]  counters of the offer (hash: sequence, used, total_limit, customer_limit; '' = no limit)
-- KEYS[2]  uses by customer of the same offer (hash: customer digest -> 'sequence:used')
-- ARGV[1]  nonce of the call, given back so that the caller can tell its own reply
-- ARGV[2..] customer digests, one a use
--
-- Returns {nonce, road, road, ...}: 0 likely, 1 total limit spent, 2 customer's limit spent
-- (ports.Road). What is not known is likely.

local reply = {ARGV[1]}
local counters = redis.call('HMGET', KEYS[1], 'used', 'total_limit', 'customer_limit')
local used, total_limit, customer_limit =
  tonumber(counters[1]), tonumber(counters[2]), tonumber(counters[3])

local customers = {}
if customer_limit then
  customers = redis.call('HMGET', KEYS[2], unpack(ARGV, 2))
end

for i = 2, #ARGV do
  local known = customers[i - 1]
  local road = 0
  if used and total_limit and used >= total_limit then
    road = 1
  elseif known and tonumber(string.match(known, ':(%d+)$') or '0') >= customer_limit then
    road = 2
  end
  reply[i] = road
end
return reply
