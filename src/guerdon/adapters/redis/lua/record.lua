-- record.lua: tell what is committed of offers of one tenant. Of two tellings of an offer the
-- higher sequence wins, so they may arrive in any order.
--
-- KEYS[2i-1]  counters of the i-th offer (hash: sequence, version, used, total_limit,
--             customer_limit)
-- KEYS[2i]    uses by customer of the same offer (hash: customer digest -> 'sequence:used')
-- ARGV[1]     time to live (seconds): it counts from the first write, so that nothing stays for
--             ever
-- ARGV[2..]   for each offer in turn: sequence of its last effect, offer version, used, total
--             limit, limit per customer ('' = none), 1 when all that is known of its customers is
--             to be forgotten, number of its customers, then for each of them digest, used
--
-- Returns how many offers' counters were newer than those known.

local function is_newer(known, sequence)
  return not known or tonumber(string.match(known, '^%d+') or '0') <= tonumber(sequence)
end

-- Customers in one command: unpack() takes no more than a few thousand values.
local CUSTOMERS_MAX = 256

-- ARGV[first], ARGV[first + 2] and so on to ARGV[last - 1] are digests, each with its uses behind.
local function record_customers(key, sequence, first, last)
  local digests = {}
  for i = first, last, 2 do
    digests[#digests + 1] = ARGV[i]
  end
  if #digests == 0 then
    return
  end
  local known = redis.call('HMGET', key, unpack(digests))
  local fields = {}
  for i, digest in ipairs(digests) do
    if is_newer(known[i], sequence) then
      fields[#fields + 1] = digest
      fields[#fields + 1] = sequence .. ':' .. ARGV[first + 2 * i - 1]
    end
  end
  if #fields > 0 then
    redis.call('HSET', key, unpack(fields))
  end
end

local written = 0
local next_argument = 2

for key = 1, #KEYS, 2 do
  local sequence, version, used, total_limit, customer_limit, customers_lost, customers =
    unpack(ARGV, next_argument, next_argument + 6)
  local first = next_argument + 7
  local last = first + 2 * customers - 1
  next_argument = last + 1

  if is_newer(redis.call('HGET', KEYS[key], 'sequence'), sequence) then
    redis.call('HSET', KEYS[key], 'sequence', sequence, 'version', version, 'used', used,
      'total_limit', total_limit, 'customer_limit', customer_limit)
    written = written + 1
  end
  if customers_lost == '1' then
    redis.call('UNLINK', KEYS[key + 1])
  end
  for part = first, last, 2 * CUSTOMERS_MAX do
    record_customers(KEYS[key + 1], sequence, part, math.min(last, part + 2 * CUSTOMERS_MAX - 1))
  end
  for _, name in ipairs({KEYS[key], KEYS[key + 1]}) do
    if redis.call('TTL', name) == -1 then
      redis.call('EXPIRE', name, ARGV[1])
    end
  end
end
return written
