-- Notes that all parts of a job are safely queued, if it is still known.
-- KEYS: the job.
if redis.call('EXISTS', KEYS[1]) == 1 then
  write_also_when_full(KEYS[1])
  redis.call('HSET', KEYS[1], 'confirmed', 1)
end
return 0
