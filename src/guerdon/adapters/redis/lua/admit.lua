-- admit.lua: which road each use takes, for a batch of one tenant. Reads only; never decides.
--
-- KEYS[2i-1]  counters of the i-th offer (hash: sequence, used, total_limit, customer_limit;
--             '' = no limit)
-- KEYS[2i]    uses by customer of the same offer (hash: customer digest -> 'sequence:used')
-- ARGV[1]     nonce of the call, given back so that the caller can tell its own reply
-- ARGV[2..]   for each offer in turn: number of its uses, then a customer digest for each of them
--
-- Returns {nonce, road, road, ...} in the order of the digests: 0 likely, 1 total limit spent,
-- 2 customer's limit spent (ports.Road). What is not known is likely.

local reply = {ARGV[1]}
local next_argument = 2

for key = 1, #KEYS, 2 do
  local first = next_argument + 1
  local last = next_argument + ARGV[next_argument]
  next_argument = last + 1

  local counters = redis.call('HMGET', KEYS[key], 'used', 'total_limit', 'customer_limit')
  local used, total_limit, customer_limit =
    tonumber(counters[1]), tonumber(counters[2]), tonumber(counters[3])
  local customers = {}
  if customer_limit then
    customers = redis.call('HMGET', KEYS[key + 1], unpack(ARGV, first, last))
  end

  for i = first, last do
    local known = customers[i - first + 1]
    local road = 0
    if used and total_limit and used >= total_limit then
      road = 1
    elseif known and tonumber(string.match(known, ':(%d+)$') or '0') >= customer_limit then
      road = 2
    end
    reply[#reply + 1] = road
  end
end
return reply
