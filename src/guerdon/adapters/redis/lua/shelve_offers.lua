-- shelve_offers.lua: keep compiled offers of one tenant. Of two versions of one the higher stays.
--
-- KEYS[1]  shelf of the tenant (hash: offer id, 16 bytes -> entry: version, 10 decimal digits, then
--          what adapters/redis/offers.py seals)
-- ARGV[1]  time to live (seconds), counted anew from every write
-- ARGV[2..] offer id, entry, offer id, entry, ...
--
-- Returns how many entries were kept.

local kept = 0
for i = 2, #ARGV, 2 do
  local known = redis.call('HGET', KEYS[1], ARGV[i])
  local known_version = known and tonumber(string.sub(known, 1, 10)) or 0
  if known_version <= tonumber(string.sub(ARGV[i + 1], 1, 10)) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    kept = kept + 1
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return kept
