-- Replaces the fleet's state if it has the expected revision: 'done', 'changed' or 'too_late'.
-- KEYS: the state. ARGV: expected revision, the new state, its revision, the last moment at which it is wanted,
--       in milliseconds.
local expected, state, revision, not_after = unpack(ARGV)
local found = redis.call('HGET', KEYS[1], 'revision') or '0'
-- The same call again, after an answer that was lost, has happened: no other call has this revision.
if found == revision then return 'done' end
if moment() > tonumber(not_after) then return 'too_late' end
if found ~= expected then return 'changed' end
redis.call('HSET', KEYS[1], 'revision', revision, 'state', state)
return 'done'
