"""What an idle socket waits with: as asyncio's own, and a tenth of their size."""

from __future__ import annotations

import asyncio
import sys

import pytest

from notifications.inbox.socket.protocol import Gate, Mailbox


def test_messages_come_in_order_to_who_waits_and_who_comes_later() -> None:
    async def scenario() -> list[str]:
        box = Mailbox()
        reading = asyncio.create_task(box.get())
        await asyncio.sleep(0)
        box.put_nowait("first")
        box.put_nowait("second")
        box.put_nowait("third")
        got = [await reading, await box.get(), await box.get()]
        assert box.empty()
        return got

    assert asyncio.run(scenario()) == ["first", "second", "third"]


def test_a_reader_that_is_cancelled_takes_nothing_with_it() -> None:
    async def scenario() -> str:
        box = Mailbox()
        for put_first in (False, True):
            reading = asyncio.create_task(box.get())
            await asyncio.sleep(0)
            if put_first:  # it is woken and cancelled in the same moment
                box.put_nowait("kept")
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        return str(await box.get())

    assert asyncio.run(scenario()) == "kept"


def test_a_gate_lets_all_pass_once_it_opens() -> None:
    async def scenario() -> None:
        gate = Gate()
        assert gate.is_set()
        await gate.wait()
        gate.clear()
        waiting = [asyncio.create_task(gate.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        assert [task.done() for task in waiting] == [True, False, False]
        gate.set()
        assert await asyncio.gather(*waiting[1:]) == [True, True]

    asyncio.run(scenario())


def test_they_are_small() -> None:
    assert sum(map(sys.getsizeof, (Mailbox(), Gate()))) < 200
