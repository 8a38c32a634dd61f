-- record.lua: tell what is committed of one offer. Of two tellings the higher sequence wins, so
-- they may arrive in any order.
--
-- KEYS[1]  counters of the offer (hash: sequence, version, used, total_limit, customer_limit)
-- KEYS[2]  uses by customer of the same offer (hash: customer digest -> 'sequence:used')
-- ARGV[1]  time to live (seconds): it counts from the first write, so that nothing stays for ever
-- ARGV[2]  sequence of the last effect; ARGV[3] offer version; ARGV[4] used
-- ARGV[5]  total limit, ARGV[6] limit per customer; '' = none
-- ARGV[7..] customer digest, used, customer digest, used, ...
--
-- Returns 1 when the counters were newer than those known, else 0.

local function newer(known)
  return not known or tonumber(string.match(known, '^%d+') or '0') <= tonumber(ARGV[2])
end

local written = 0
if newer(redis.call('HGET', KEYS[1], 'sequence')) then
  redis.call('HSET', KEYS[1], 'sequence', ARGV[2], 'version', ARGV[3], 'used', ARGV[4],
    'total_limit', ARGV[5], 'customer_limit', ARGV[6])
  written = 1
end

for i = 7, #ARGV, 2 do
  if newer(redis.call('HGET', KEYS[2], ARGV[i])) then
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[2] .. ':' .. ARGV[i + 1])
  end
end

for _, key in ipairs(KEYS) do
  if redis.call('TTL', key) == -1 then
    redis.call('EXPIRE', key, ARGV[1])
  end
end
return written
