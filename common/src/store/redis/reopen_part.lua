-- Makes room for another result of a part; the index to use, or -1 for a job that is not known.
-- KEYS: the job. ARGV: index of the part, new deadline in milliseconds.
local index = ARGV[1]
local job = redis.call('HMGET', KEYS[1], 'parts', 'deadline', 'retention', 'idempotency', 'split')
if not is_known(KEYS[1], index, job[1], job[5]) then return -1 end

-- A part that was reopened before has a successor; the last one in the chain counts.
local successor = redis.call('HGET', KEYS[1], 'successor:' .. index)
while successor do
  index = successor
  successor = redis.call('HGET', KEYS[1], 'successor:' .. index)
end
if redis.call('HEXISTS', KEYS[1], 'result:' .. index) == 1 then
  -- The index says whose successor it is, whatever else was reopened before: after a restore of older data it is
  -- given to this part again or to none, and a result that is still on its way is never taken for another part's.
  local split = tonumber(job[5] or job[1])
  local new = index + split
  -- Releases before 0.2 gave the next free one.
  while is_known(KEYS[1], new, job[1], split) do new = new + split end
  redis.call('HSET', KEYS[1], 'split', split, 'successor:' .. index, new)
  redis.call('HINCRBY', KEYS[1], 'parts', 1)
  index = new
end
local deadline = math.max(tonumber(job[2]), tonumber(ARGV[2]))
redis.call('HSET', KEYS[1], 'deadline', string.format('%.0f', deadline))
local forget_at = string.format('%.0f', deadline + job[3])
redis.call('PEXPIREAT', KEYS[1], forget_at)
if job[4] then redis.call('PEXPIREAT', job[4], forget_at) end
return tonumber(index)
