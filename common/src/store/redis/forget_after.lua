-- Has finished jobs forgotten in some time, with their idempotency keys; others stay as they are.
-- KEYS: the jobs. ARGV: milliseconds from now.
for _, key in ipairs(KEYS) do
  local job = redis.call('HMGET', key, 'parts', 'done', 'idempotency')
  if job[1] and tonumber(job[2]) >= tonumber(job[1]) then
    redis.call('PEXPIRE', key, ARGV[1])
    if job[3] then redis.call('PEXPIRE', job[3], ARGV[1]) end
  end
end
return 0
