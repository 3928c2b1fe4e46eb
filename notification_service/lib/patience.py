"""Clients that have gone to sleep: none of them may hold one of the few threads that answer requests.

A proxy in front does the same and more; this is for where there is none.
"""

from __future__ import annotations

import asyncio
from typing import Final

from notification_service.lib.asgi import Application, Message, Receive, Scope, Send

_GONE: Final[Message] = {"type": "http.disconnect"}


class Patience:
    """ASGI application: another one, whose clients must send and take the next piece within ``seconds`` each.

    Who does not counts as gone: what they would have sent is missing, and what is still written is thrown away.
    """

    def __init__(self, application: Application, seconds: float) -> None:
        self._application = application
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_whole = is_gone = False

        async def receive_piece() -> Message:
            nonlocal is_whole
            if is_whole:  # what is left to hear is that the client has gone, however long that takes
                return await receive()
            try:
                async with asyncio.timeout(self._seconds):
                    message = await receive()
            except TimeoutError:
                return _GONE
            is_whole = not message.get("more_body")
            return message

        async def send_piece(message: Message) -> None:
            nonlocal is_gone
            if is_gone:
                return
            try:
                async with asyncio.timeout(self._seconds):
                    await send(message)
            except TimeoutError:
                is_gone = True

        await self._application(scope, receive_piece, send_piece)
