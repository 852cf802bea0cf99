"""The Lua scripts of a log on Redis: each is one atomic step of the log, run inside the server.

Redis runs a script alone and writes all it changed into the append-only file as one transaction.
It does not roll back what a failing script did, so each one looks first and writes last, and its
first write is of a kind that the server refuses when its memory is full.

Every script's ARGV[1] is "1" when it may have run before: the connection was lost with the answer.
A write leaves a mark of its call in the events it adds, and a repeated call finds its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from urllib.parse import quote

from aicore.records import ConversationId

__all__ = [
    "APPEND",
    "CLAIM",
    "COMMANDS",
    "CONVERSATIONS",
    "ERASE",
    "LAYOUT",
    "MARK_CHARACTERS",
    "NEWS_KEPT",
    "OPEN",
    "RECEIVE",
    "RELEASE",
    "RELEASE_ALL",
    "RESTORE",
    "Keys",
    "Script",
]

LAYOUT = 1
"""The version of the keys below. A log of a higher one is refused."""

MARK_CHARACTERS = 8
"""Length of the mark at the beginning of an event's entry."""

COMMANDS = (
    "DEL EXISTS GET HDEL HEXISTS HGET HMGET HSET LINDEX LLEN LRANGE PTTL RPUSH SADD SET SMEMBERS "
    "SREM TIME XADD XRANGE XREAD XREVRANGE ZADD ZRANGEBYLEX ZREM"
)
"""Every command that the log uses on its keys."""

NEWS_KEPT = 2_000
"""How many of the last writes a listener can catch up with after it lost its connection."""


class Keys:
    """The names of a business's keys.

    All have one hash tag, so they are in one slot of a cluster: message ids are unique in the
    whole business, and a script may only touch keys of one slot.
    """

    def __init__(self, business: str) -> None:
        # Quoted, so that no business's name can reach into the keys of another.
        quoted = quote(business, safe="", errors="surrogatepass")
        self._prefix = f"aicore:{{log:{quoted}}}"
        self.log = self._prefix  # hash: version, last_erased_ms
        self.inbound = f"{self._prefix}:inbound"  # hash: channel and message id -> seq
        self.open_turns = f"{self._prefix}:open_turns"  # set of "turn conversation"
        self.conversations = f"{self._prefix}:conversations"  # sorted set, all of score 0
        self.news = f"{self._prefix}:news"  # stream: conversation, first and last seq
        self.conversation_prefix = f"{self._prefix}:conversation:"

    def conversation(self, conversation: ConversationId) -> str:
        """Hash: head, epoch, born_ms."""
        return self.conversation_prefix + conversation

    def events(self, conversation: ConversationId) -> str:
        """List of "mark turn at_ms kind data"; the event `seq` is at the index `seq` - 1."""
        return f"{self._prefix}:events:{conversation}"

    def holder(self, conversation: ConversationId) -> str:
        """The owner of the lease, a text that the server lets expire."""
        return f"{self._prefix}:holder:{conversation}"


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text, and the hash by which the server knows it once it has seen it."""

    text: str
    sha: str


def _script(body: str, *, flags: str = "") -> Script:
    text = (f"#!lua flags={flags}\n" if flags else "") + _PRELUDE + body
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


_PRELUDE = """
local function integer(number)
  return string.format('%.0f', number)
end

local function now_ms(given)
  if given ~= '' then return tonumber(given) end
  local now = redis.call('TIME')
  return now[1] * 1000 + math.floor(now[2] / 1000)
end

local function is_marked(entry, mark)
  return entry and string.sub(entry, 1, #mark) == mark
end

-- Two conversations never have one birth, though one id may have several conversations.
local function birth(log, at_ms)
  local last = tonumber(redis.call('HGET', log, 'last_erased_ms') or 0)
  return integer(math.max(at_ms, last + 1))
end

local function announce(news, conversation, first, last)
  local id = redis.call('XADD', news, 'MAXLEN', '~', 2000, '0-*',
    'c', conversation, 'f', first, 'l', last)
  return tonumber(string.sub(id, 3))
end
""".replace("2000", str(NEWS_KEPT))

OPEN = _script("""
for command in string.gmatch(ARGV[3], '%a+') do
  if not redis.acl_check_cmd(command, KEYS[1]) then return 'forbidden ' .. command end
end
local version = redis.call('HGET', KEYS[1], 'version')
if version then return version end
if redis.call('EXISTS', KEYS[1]) == 1 then return 'foreign' end
redis.call('HSET', KEYS[1], 'version', ARGV[2])
return ARGV[2]
""")
"""KEYS log. ARGV again, version, commands. Gives the version that the log has from now on.

Or "foreign"; or "forbidden" and the first of the commands that the user may not use: found out in
the midst of a script, it would leave a conversation half written.
"""

RECEIVE = _script("""
local again, conversation, inbound, mark = ARGV[1] == '1', ARGV[2], ARGV[3], ARGV[4]
local row = redis.call('HMGET', KEYS[2], 'head', 'born_ms')
local head = tonumber(row[1] or 0)
if redis.call('LLEN', KEYS[3]) ~= head then return {'damaged'} end
if inbound ~= '' then
  local seq = tonumber(redis.call('HGET', KEYS[4], inbound))
  if seq then
    local is_own = again and is_marked(redis.call('LINDEX', KEYS[3], seq - 1), mark)
    return {'done', seq, is_own and 1 or 0, 0}
  end
elseif again then
  for last = head, 1, -8 do
    local first = math.max(last - 7, 1)
    for place, entry in ipairs(redis.call('LRANGE', KEYS[3], first - 1, last - 1)) do
      if is_marked(entry, mark) then return {'done', first + place - 1, 1, 0} end
    end
  end
end
local at_ms, seq = now_ms(ARGV[5]), integer(head + 1)
redis.call('HSET', KEYS[2], 'head', seq, 'born_ms', row[2] or birth(KEYS[1], at_ms))
redis.call('RPUSH', KEYS[3],
  mark .. ' ' .. seq .. ' ' .. integer(at_ms) .. ' ' .. ARGV[6] .. ' ' .. ARGV[7])
if inbound ~= '' then redis.call('HSET', KEYS[4], inbound, seq) end
redis.call('SADD', KEYS[5], seq .. ' ' .. conversation)
if not row[2] then redis.call('ZADD', KEYS[6], 0, conversation) end
return {'done', head + 1, 1, announce(KEYS[7], conversation, seq, seq)}
""")
"""KEYS log, conversation, events, inbound, open_turns, conversations, news.

ARGV again, conversation, inbound field or "", mark, at_ms or "", kind, data.
Gives "done", seq, is_new, and the number of its news or 0.
"""

CLAIM = _script(
    """
local holder = redis.call('GET', KEYS[3])
if holder and holder ~= ARGV[3] and holder ~= ARGV[4] then
  return {'held', holder, redis.call('PTTL', KEYS[3])}
end
local row = redis.call('HMGET', KEYS[2], 'epoch', 'born_ms', 'head')
local epoch = tonumber(row[1] or 0) + 1
local born_ms = row[2] or birth(KEYS[1], now_ms(ARGV[6]))
redis.call('HSET', KEYS[2], 'epoch', integer(epoch), 'born_ms', born_ms)
redis.call('SET', KEYS[3], ARGV[3], 'PX', ARGV[5])
if not row[2] then redis.call('ZADD', KEYS[4], 0, ARGV[2]) end
return {'done', epoch, tonumber(row[3] or 0), tonumber(born_ms)}
""",
    # Whoever erases must claim first, and that frees memory.
    flags="allow-oom",
)
"""KEYS log, conversation, holder, conversations.

ARGV again, conversation, owner, an owner that is dead or "", lease in ms, at_ms or "".
Gives "done", epoch, head, born_ms; or "held", the holder, ms until its lease ends.
"""

APPEND = _script("""
local again, conversation, head, mark = ARGV[1] == '1', ARGV[2], tonumber(ARGV[4]), ARGV[7]
local count = (#ARGV - 11) / 2
if again and count > 0 and is_marked(redis.call('LINDEX', KEYS[2], head), mark) then
  return {'done', 0}
end
local row = redis.call('HMGET', KEYS[1], 'epoch', 'born_ms', 'head')
if row[1] ~= ARGV[3] or row[2] ~= ARGV[5] then return {'fenced'} end
if tonumber(row[3] or 0) ~= head then return {'moved'} end
if redis.call('LLEN', KEYS[2]) ~= head then return {'damaged'} end
local news = 0
if count > 0 then
  local turn, at_ms = ARGV[6], integer(now_ms(ARGV[8]))
  redis.call('HSET', KEYS[1], 'head', integer(head + count))
  for place = 12, #ARGV, 2 do
    redis.call('RPUSH', KEYS[2],
      mark .. ' ' .. turn .. ' ' .. at_ms .. ' ' .. ARGV[place] .. ' ' .. ARGV[place + 1])
  end
  if ARGV[11] == '1' then redis.call('SADD', KEYS[4], turn .. ' ' .. conversation) end
  if ARGV[11] == '0' then redis.call('SREM', KEYS[4], turn .. ' ' .. conversation) end
  news = announce(KEYS[5], conversation, integer(head + 1), integer(head + count))
end
if ARGV[11] == '0' then
  redis.call('DEL', KEYS[3])
else
  redis.call('SET', KEYS[3], ARGV[9], 'PX', ARGV[10])
end
return {'done', news}
""")
"""KEYS conversation, events, holder, open_turns, news.

ARGV again, conversation, epoch, head, born_ms, turn, mark, at_ms or "", owner, lease in ms,
"1" when the turn is open after it, "0" when it is at rest and "" when that stays; then kind and
data of each event. Gives "done" and the number of its news or 0; "fenced" or "moved".
"""

RELEASE = _script("""
local row = redis.call('HMGET', KEYS[1], 'epoch', 'born_ms')
if row[1] == ARGV[2] and row[2] == ARGV[3] then redis.call('DEL', KEYS[2]) end
return {'done'}
""")
"""KEYS conversation, holder. ARGV again, epoch, born_ms."""

RELEASE_ALL = _script("""
for _, holder in ipairs(KEYS) do
  if redis.call('GET', holder) == ARGV[2] then redis.call('DEL', holder) end
end
return {'done'}
""")
"""KEYS holders. ARGV again, owner."""

CONVERSATIONS = _script("""
local page = {}
for _, id in ipairs(redis.call('ZRANGEBYLEX', KEYS[1], ARGV[3], '+', 'LIMIT', 0, ARGV[4])) do
  local row = redis.call('HMGET', ARGV[2] .. id, 'head', 'epoch', 'born_ms')
  page[#page + 1] = {id, row[1] or '0', row[2] or '0', row[3] or '0'}
end
return page
""")
"""KEYS conversations. ARGV again, prefix of the keys that it makes up, first id, limit.

Those keys are in the slot of KEYS[1]: asked one by one, a page could miss what is erased meanwhile.
"""

RESTORE = _script(
    """
local conversation, first = ARGV[2], tonumber(ARGV[6])
local row = redis.call('HMGET', KEYS[1], 'head', 'epoch', 'born_ms')
local head = tonumber(row[1] or 0)
if redis.call('LLEN', KEYS[2]) ~= head then return {'damaged'} end
if first > head + 1 then return {'gap', head} end
if head > 0 and row[3] ~= ARGV[4] then return {'other'} end
local count = (#ARGV - 6) / 4
for place = 1, count do
  local rest, inbound = ARGV[place * 4 + 3], ARGV[place * 4 + 4]
  local seq = first + place - 1
  if seq <= head then
    local entry = redis.call('LINDEX', KEYS[2], seq - 1)
    if string.sub(entry, 10) ~= rest then return {'other'} end
  elseif inbound ~= '' and redis.call('HEXISTS', KEYS[3], inbound) == 1 then
    return {'elsewhere'}
  end
end
local last = math.max(head, first + count - 1)
local epoch = math.max(tonumber(row[2] or 0), tonumber(ARGV[3]))
redis.call('HSET', KEYS[1], 'head', integer(last), 'epoch', integer(epoch), 'born_ms', ARGV[4])
redis.call('ZADD', KEYS[5], 0, conversation)
for seq = head + 1, last do
  local place = (seq - first + 1) * 4 + 3
  local inbound, turn, is_open = ARGV[place + 1], ARGV[place + 2], ARGV[place + 3]
  redis.call('RPUSH', KEYS[2], ARGV[5] .. ' ' .. ARGV[place])
  if inbound ~= '' then redis.call('HSET', KEYS[3], inbound, integer(seq)) end
  if is_open == '1' then redis.call('SADD', KEYS[4], turn .. ' ' .. conversation) end
  if is_open == '0' then redis.call('SREM', KEYS[4], turn .. ' ' .. conversation) end
end
if last == head then return {'done', 0} end
return {'done', announce(KEYS[6], conversation, integer(head + 1), integer(last))}
""".replace("sub(entry, 10)", f"sub(entry, {MARK_CHARACTERS + 2})")
)
"""KEYS conversation, events, inbound, open_turns, conversations, news.

ARGV again, conversation, epoch, born_ms, mark, first seq; then of each event "turn at_ms kind
data", inbound field or "", turn, and "1", "0" or "" as for APPEND. Gives "done" and the number of
its news or 0; "gap" and head; "other"; "elsewhere".
"""

ERASE = _script(
    """
local again, conversation = ARGV[1] == '1', ARGV[2]
local row = redis.call('HMGET', KEYS[2], 'epoch', 'born_ms', 'head')
if again and row[2] ~= ARGV[4] then return {'done'} end
if row[1] ~= ARGV[3] or row[2] ~= ARGV[4] then return {'fenced'} end
if redis.call('LLEN', KEYS[3]) ~= tonumber(ARGV[5]) then return {'moved'} end
for place = 6, #ARGV do redis.call('HDEL', KEYS[5], ARGV[place]) end
for _, member in ipairs(redis.call('SMEMBERS', KEYS[6])) do
  local space = string.find(member, ' ', 1, true)
  if string.sub(member, space + 1) == conversation then redis.call('SREM', KEYS[6], member) end
end
redis.call('ZREM', KEYS[7], conversation)
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
local last = tonumber(redis.call('HGET', KEYS[1], 'last_erased_ms') or 0)
redis.call('HSET', KEYS[1], 'last_erased_ms', integer(math.max(last, tonumber(ARGV[4]))))
-- Deleting an entry of a stream only marks it, in memory and in the files: write all anew.
local news = redis.call('XRANGE', KEYS[8], '-', '+')
redis.call('DEL', KEYS[8])
for _, entry in ipairs(news) do
  local id, fields = entry[1], entry[2]
  if fields[2] == conversation then fields = {'c', '', 'f', 1, 'l', 0} end
  redis.call('XADD', KEYS[8], id, unpack(fields))
end
return {'done'}
""",
    # It frees memory, and must not end half way because there is too little.
    flags="allow-oom",
)
"""KEYS log, conversation, events, holder, inbound, open_turns, conversations, news.

ARGV again, conversation, epoch, born_ms, head; then the inbound fields of its messages.
Gives "done", "fenced", or "moved" when there are events that the caller has not seen.
"""
