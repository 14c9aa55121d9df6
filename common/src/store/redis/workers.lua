-- The reports that have not expired, each after its worker; those that have are removed.
-- KEYS: the reports, their ends.
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', moment()))) do
  redis.call('HDEL', KEYS[1], worker)
  redis.call('ZREM', KEYS[2], worker)
end
return redis.call('HGETALL', KEYS[1])
