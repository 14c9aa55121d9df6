-- What stands before every script.

-- The time by the clock of Redis, in milliseconds.
local function moment()
  local clock = redis.call('TIME')
  return clock[1] * 1000 + math.floor(clock[2] / 1000)
end

-- Whether the job was split into a part of this index, or a part that was reopened was given it. `split` is how many
-- parts the job was split into; jobs of releases before 0.2 say only how many they have by now.
local function is_known(key, index, parts, split)
  index = tonumber(index)
  if index < tonumber(split or parts or 0) then return true end
  for _, field in ipairs(redis.call('HKEYS', key)) do
    if string.sub(field, 1, 10) == 'successor:' and tonumber(redis.call('HGET', key, field)) == index then
      return true
    end
  end
  return false
end

-- Lets the writes that follow happen in a Redis that is full: it checks before a script's first write alone. For
-- what brings an accepted job to its end, or the fleet would stand still until its jobs are forgotten.
local function write_also_when_full(key)
  redis.call('HDEL', key, '')
end
