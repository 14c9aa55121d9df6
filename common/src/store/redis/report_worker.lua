-- Renews a worker's report.
-- KEYS: the reports, their ends. ARGV: worker, report, milliseconds for which it lasts.
-- A worker that is at work is listed also while no more jobs fit.
write_also_when_full(KEYS[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], string.format('%.0f', moment() + ARGV[3]), ARGV[1])
return 0
