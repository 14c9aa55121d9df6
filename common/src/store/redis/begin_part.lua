-- Notes that a part is begun; 1 if it is wanted.
-- KEYS: the job. ARGV: index of the part.
local index = ARGV[1]
local job = redis.call('HMGET', KEYS[1], 'parts', 'done', 'deadline', 'result:' .. index, 'split')
local parts = tonumber(job[1] or 0)
if not is_known(KEYS[1], index, job[1], job[5]) or tonumber(job[2]) >= parts then return 0 end
if moment() >= tonumber(job[3]) or job[4] then return 0 end
write_also_when_full(KEYS[1])
redis.call('HSET', KEYS[1], 'begun', 1)
return 1
