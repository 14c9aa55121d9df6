-- Counts one more try of an image; 1 for a part that nobody counts any more.
-- KEYS: the job, its tries. ARGV: index of the part, position of the image, token of the call.
local index, position, token = unpack(ARGV)
local job = redis.call('HMGET', KEYS[1], 'parts', 'result:' .. index, 'split')
if not is_known(KEYS[1], index, job[1], job[3]) or job[2] then return 1 end

local field = index .. ':' .. position
local last = field .. ':token'
-- The same call again, after an answer that was lost, counts once.
if redis.call('HGET', KEYS[2], last) == token then return tonumber(redis.call('HGET', KEYS[2], field)) end
write_also_when_full(KEYS[2])
redis.call('HSET', KEYS[2], last, token)
local count = redis.call('HINCRBY', KEYS[2], field, 1)
redis.call('PEXPIRE', KEYS[2], redis.call('PTTL', KEYS[1]))
return count
