"""Time for workers to say what they know, when the database was away for them and for the sweeper alike.

The database knows when its server started, not when a long recovery let the first one in again. The sweeper knows: it
asks every few seconds, and hears nothing meanwhile.
"""

from __future__ import annotations

from typing import Final

from django.conf import settings

from notification_service.lib.redis import RedisUnavailable, attempt
from notifications.records import queue

_SEEN: Final = "sweep:seen"
_GRACE: Final = "sweep:grace"
#: So many sweeps that did not happen are a gap.
_MISSED: Final = 3
# KEYS: when the database was last seen, whether a grace runs. ARGV: what is a gap, how long a grace; milliseconds.
_LOOK: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local seen = redis.call('GETSET', KEYS[1], now)
if seen and now - seen > tonumber(ARGV[1]) and tonumber(ARGV[2]) > 0 then
    redis.call('SET', KEYS[2], 1, 'PX', ARGV[2])
end
return redis.call('EXISTS', KEYS[2])
"""


def workers_need_time() -> bool:
    """Whether the database has only just come back. To be asked by the sweeper, right after it heard the database."""
    gap, grace = int(settings.SWEEP_SECONDS * _MISSED * 1000), int(queue.GRACE_SECONDS * 1000)
    try:
        return bool(attempt(lambda client: client.eval(_LOOK, 2, _SEEN, _GRACE, str(gap), str(grace))))
    except RedisUnavailable:
        return False
