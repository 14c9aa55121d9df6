-- Takes one try of an image back.
-- KEYS: tries of the job. ARGV: index of the part, position of the image, token of the call.
local index, position, token = unpack(ARGV)
local field = index .. ':' .. position
local last = field .. ':token'
-- The same call again, after an answer that was lost, counts once; and there is nothing to take back of
-- a part whose counts were forgotten.
if redis.call('HGET', KEYS[1], last) == token then return end
if tonumber(redis.call('HGET', KEYS[1], field) or 0) < 1 then return end
redis.call('HSET', KEYS[1], last, token)
redis.call('HINCRBY', KEYS[1], field, -1)
