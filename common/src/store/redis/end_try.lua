-- Takes one try of an image back, if any is counted.
-- KEYS: the tries of the job. ARGV: index of the part, position of the image, token of the call.
local index, position, token = unpack(ARGV)
local field = index .. ':' .. position
local last = field .. ':token'
local count = tonumber(redis.call('HGET', KEYS[1], field) or 0)
-- The same call again, after an answer that was lost, takes one back once.
if count == 0 or redis.call('HGET', KEYS[1], last) == token then return end
write_also_when_full(KEYS[1])
redis.call('HSET', KEYS[1], last, token, field, count - 1)
