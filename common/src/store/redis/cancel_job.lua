-- Forgets a job and frees its idempotency key; 1 if it was known.
-- KEYS: the job, its tries. ARGV: job id, channel of the ends.
local idempotency = redis.call('HGET', KEYS[1], 'idempotency')
if idempotency and redis.call('HGET', idempotency, 'job') == ARGV[1] then
  redis.call('DEL', idempotency)
end
local known = redis.call('DEL', KEYS[1])
redis.call('DEL', KEYS[2])
if known == 1 then redis.call('PUBLISH', ARGV[2], ARGV[1]) end
return known
