"""Tokens on their way through a queue, one for each thing that is to be worked on. Hints, never the truth.

Whoever has something to do sends a token unless one is believed to be in the queue; whoever takes it out works for a
while and puts it back. In a queue that is longer than the belief a second one is sent, and if each came back for ever,
the queue would grow with every round. So of those that are out the oldest goes on and the others end, and a token that
waited long is believed to wait as long again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final, cast

from notification_service.lib.ids import new_id
from notification_service.lib.redis import RedisUnavailable, attempt

# KEYS[1] the thing; ARGV: the token's id, milliseconds for which it is then believed to be worked on (0: not at all).
# → 1, or 0 if an older token is believed in.
_TAKE: Final = """
local held = redis.call('GET', KEYS[1])
local id = held and string.match(held, ' (.*)$')
if id and id < ARGV[1] then return 0 end
if ARGV[2] == '0' then
    redis.call('DEL', KEYS[1])
else
    redis.call('SET', KEYS[1], 'running ' .. ARGV[1], 'PX', ARGV[2])
end
return 1
"""
#: A queue may become longer while one waits in it.
_AS_LONG_AGAIN: Final = 3
#: In milliseconds. Clocks of two machines may differ, but not so that a lost token is believed in for ever.
_MOST: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Taken:
    """A token out of the queue, and for how many milliseconds it was there. Without an id it is older than any."""

    id: str = ""
    waited: int = 0


#: Works without having come out of a queue.
UNNAMED: Final = Taken()


class Tokens:
    """What is believed of the tokens of one kind, and for how many milliseconds at least. Raises nothing.

    In the queue a token is a text: its id, which ascends with time, and when it got there.
    """

    def __init__(self, *, queued_ms: int, running_ms: int = 0) -> None:
        self._queued_ms, self._running_ms = queued_ms, running_ms

    def issue(self, key: str, taken: Taken | None = None) -> str | None:
        """Return a token to be put into the queue: that which was taken, or a new one.

        None if one is believed to be there, or if nobody can be asked.
        """
        token = taken or Taken(str(new_id()))
        try:
            fresh = attempt(lambda client: client.set(key, f"queued {token.id}", nx=True, px=self._belief(token)))
        except RedisUnavailable:
            return None
        return _text(token) if fresh else None

    def take(self, key: str, text: str) -> Taken | None:
        """Return the token that came out of the queue, or None if it ends here, because an older one is out."""
        token_id, _, since = text.partition(" ")
        token = Taken(token_id, max(0, _now() - int(since or _now())))

        def command(client: Any) -> int:
            return cast(int, client.eval(_TAKE, 1, key, token.id, str(self._running_ms)))

        try:
            return token if attempt(command) else None
        except RedisUnavailable:
            return token

    def keep(self, key: str, token: Taken) -> None:
        """Say that a token is worked on: repeated while it is."""
        self._say(key, f"running {token.id}", self._running_ms)

    def put_back(self, key: str, token: Taken) -> str:
        """Return a token that was worked on, to be put into the queue again."""
        self._say(key, f"queued {token.id}", self._belief(token))
        return _text(token)

    def drop(self, key: str) -> None:
        """Say that no token is out: whoever has something to do from now on sends a new one."""
        try:
            attempt(lambda client: client.delete(key))
        except RedisUnavailable:
            return

    def _belief(self, token: Taken) -> int:
        return max(self._queued_ms, min(_AS_LONG_AGAIN * token.waited, _MOST))

    def _say(self, key: str, what: str, milliseconds: int) -> None:
        try:
            attempt(lambda client: client.set(key, what, px=milliseconds))
        except RedisUnavailable:
            return


def _text(token: Taken) -> str:
    return f"{token.id} {_now()}"


def _now() -> int:
    return time.time_ns() // 1_000_000
