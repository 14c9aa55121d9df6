-- Notes that a part is begun; 1 if it is wanted.
-- KEYS: the job. ARGV: index of the part.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local index = ARGV[1]
local job = redis.call('HMGET', KEYS[1], 'parts', 'done', 'deadline', 'result:' .. index)
local parts = tonumber(job[1] or 0)
if tonumber(index) >= parts or tonumber(job[2]) >= parts then return 0 end
if now >= tonumber(job[3]) or job[4] then return 0 end
redis.call('HSET', KEYS[1], 'begun', 1)
return 1
