-- Stores the first result of a part; 1 if it was the first. The last missing one ends the job.
-- KEYS: the job, its tries. ARGV: job id, index of the part, result, channel of the ends, bytes of a result that
--       is told with its end.
local id, index, result, ends, tell = unpack(ARGV)
local field = 'result:' .. index
local job =
  redis.call('HMGET', KEYS[1], 'parts', 'done', 'deadline', 'retention', 'idempotency', field, 'split')
-- The same call again, after an answer that was lost: no two results are alike.
if job[6] == result then return 1 end
local now = moment()
local parts = tonumber(job[1] or 0)
if not is_known(KEYS[1], index, job[1], job[7]) or tonumber(job[2]) >= parts then return 0 end
if now >= tonumber(job[3]) or job[6] then return 0 end

write_also_when_full(KEYS[1])
redis.call('HSET', KEYS[1], field, result)
local own = index .. ':'
for _, try in ipairs(redis.call('HKEYS', KEYS[2])) do
  if string.sub(try, 1, #own) == own then redis.call('HDEL', KEYS[2], try) end
end
if redis.call('HINCRBY', KEYS[1], 'done', 1) >= parts then
  local forget_at = string.format('%.0f', now + job[4])
  redis.call('PEXPIREAT', KEYS[1], forget_at)
  if job[5] then redis.call('PEXPIREAT', job[5], forget_at) end
  -- Who waits for an only part need not ask for its result; a large one would be sent to every process.
  local whole = parts == 1 and #result <= tonumber(tell)
  redis.call('PUBLISH', ends, whole and id .. result or id)
end
return 1
