-- Stores a new job and claims its idempotency key, or says whose the key is, or that the fleet changed.
-- KEYS: the job; the fleet's state; the idempotency key (the job again when there is none).
-- ARGV: job id, record, its version, parts, deadline, retention, digest of the request ('' without a key),
--       start of the keys of jobs, revision of the fleet's state. Moments and spans in milliseconds.
local id, record, version, parts, deadline, retention, request, jobs, revision = unpack(ARGV)
local now = moment()
local forget_at = string.format('%.0f', deadline + retention)

if request ~= '' then
  local claim = redis.call('HMGET', KEYS[3], 'job', 'request')
  if claim[1] and claim[1] ~= id then
    local owner = redis.call('HMGET', jobs .. claim[1], 'parts', 'done', 'deadline', 'confirmed')
    if owner[1] then
      if claim[2] ~= request then return {'other', claim[1]} end
      local ended = tonumber(owner[2]) >= tonumber(owner[1]) or now >= tonumber(owner[3])
      return {(owner[4] or ended) and 'same' or 'in_progress', claim[1]}
    end
  end
end

-- A repetition, after an answer that was lost, finds the job there.
if redis.call('EXISTS', KEYS[1]) == 1 then return {'accepted', id} end
if (redis.call('HGET', KEYS[2], 'revision') or '0') ~= revision then return {'fleet_changed', id} end

-- The first write is one that a full Redis refuses: it does not look again before the others.
redis.call('HSET', KEYS[1], 'record', record, 'version', version, 'parts', parts, 'split', parts, 'done', 0,
  'deadline', deadline, 'retention', retention)
redis.call('PEXPIREAT', KEYS[1], forget_at)
if request ~= '' then
  redis.call('DEL', KEYS[3])
  redis.call('HSET', KEYS[3], 'job', id, 'request', request)
  redis.call('PEXPIREAT', KEYS[3], forget_at)
  redis.call('HSET', KEYS[1], 'idempotency', KEYS[3])
end
return {'accepted', id}
