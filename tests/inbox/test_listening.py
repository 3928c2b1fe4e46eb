"""The subscription to Redis: whenever it begins, what was not heard before is looked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sized
from uuid import uuid4

import pytest

from notification_service.lib.redis import attempt
from notifications.inbox.socket.clock import listen
from tests.inbox.clients import SECONDS

#: All who listen at this Redis are cut off.
pytestmark = pytest.mark.xdist_group("live")


async def become(some: Sized, count: int) -> None:
    """Wait until there are so many."""
    async with asyncio.timeout(SECONDS):
        while len(some) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def test_what_was_missed_is_looked_for_the_first_time_and_again() -> None:
    channel, heard, looks = uuid4().hex, list[bytes](), list[int]()

    async def scenario() -> None:
        listening = asyncio.create_task(listen(channel, heard.append, lambda: looks.append(len(heard))))
        for turn in range(3):
            await become(looks, turn + 1)
            attempt(lambda client, turn=turn: client.publish(channel, str(turn)))  # from now on all of it is heard
            await become(heard, turn + 1)
            attempt(lambda client: client.execute_command("CLIENT", "KILL", "TYPE", "pubsub"))
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)

    asyncio.run(scenario())
    assert heard == [b"0", b"1", b"2"]
    assert looks[:3] == [0, 1, 2]
