-- Stores a new job and claims its idempotency key, or says whose the key is.
-- KEYS: the job; the idempotency key (the job again when there is none).
-- ARGV: job id, record, parts, deadline, retention, digest of the request ('' without a key),
--       start of the keys of jobs. Moments and spans in milliseconds.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local id, record, parts, deadline, retention, request, jobs = unpack(ARGV)
local forget_at = string.format('%.0f', deadline + retention)

if request ~= '' then
  local claim = redis.call('HMGET', KEYS[2], 'job', 'request')
  if claim[1] and claim[1] ~= id then
    local owner = redis.call('HMGET', jobs .. claim[1], 'parts', 'done', 'deadline', 'confirmed')
    if owner[1] then
      if claim[2] ~= request then return {'other', claim[1]} end
      local ended = tonumber(owner[2]) >= tonumber(owner[1]) or now >= tonumber(owner[3])
      return {(owner[4] or ended) and 'same' or 'in_progress', claim[1]}
    end
  end
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[2], 'job', id, 'request', request)
  redis.call('PEXPIREAT', KEYS[2], forget_at)
end

-- A repetition, after an answer that was lost, finds the job there.
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'record', record, 'parts', parts, 'done', 0, 'deadline', deadline,
    'retention', retention)
  if request ~= '' then redis.call('HSET', KEYS[1], 'idempotency', KEYS[2]) end
  redis.call('PEXPIREAT', KEYS[1], forget_at)
end
return {'accepted', id}
