-- Forgets a job and frees its idempotency key; 1 if it was known.
-- KEYS: the job, its tries, who cancelled it. ARGV: job id, channel of the ends, token of the call, milliseconds for
--       which that is remembered, 'always' or 'unless_told': not where another request may have been told of the job.
local id, ends, token, remembered, when = unpack(ARGV)
-- The same call again, after an answer that was lost, has found it.
if redis.call('GET', KEYS[3]) == token then return 1 end
if when == 'unless_told' then
  local job = redis.call('HMGET', KEYS[1], 'idempotency', 'confirmed', 'parts', 'done', 'deadline')
  local ended = job[3] and (tonumber(job[4]) >= tonumber(job[3]) or moment() >= tonumber(job[5]))
  if job[1] and (job[2] or ended) then return 0 end
end
local idempotency = redis.call('HGET', KEYS[1], 'idempotency')
if idempotency and redis.call('HGET', idempotency, 'job') == id then
  redis.call('DEL', idempotency)
end
local known = redis.call('DEL', KEYS[1])
redis.call('DEL', KEYS[2])
if known == 1 then
  redis.call('SET', KEYS[3], token, 'PX', remembered)
  redis.call('PUBLISH', ends, id)
end
return known
