-- Writes what nobody reads, as a new job would be written.
-- KEYS: what is written. ARGV: milliseconds for which it is kept.
redis.call('HSET', KEYS[1], 'at', string.format('%.0f', moment()))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 0
