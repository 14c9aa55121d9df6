-- Forgets a worker.
-- KEYS: the reports, their ends. ARGV: worker.
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 0
