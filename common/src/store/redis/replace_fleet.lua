-- Replaces the fleet's state if it has the expected revision; the new revision, or -1.
-- KEYS: the state. ARGV: expected revision, the new state, token of the call.
local expected, state, token = unpack(ARGV)
local found = redis.call('HMGET', KEYS[1], 'revision', 'token')
local revision = tonumber(found[1] or 0)
-- The same call again, after an answer that was lost, has happened.
if found[2] == token then return revision end
if revision ~= tonumber(expected) then return -1 end
redis.call('HSET', KEYS[1], 'revision', revision + 1, 'state', state, 'token', token)
return revision + 1
