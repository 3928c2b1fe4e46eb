"""A client of chat's socket, which checks every frame against the document."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any
from uuid import uuid4

from websockets.asyncio.client import ClientConnection

from tenants.models import Role
from tenants.tokens import issue_access_token
from tests.conftest import Persona
from tests.inbox.clients import connected
from tests.inbox.conftest import LiveServer
from tests.inbox.protocol import check

SECONDS = 10.0


class Client:
    """A client of chat; it checks each frame against the document."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def read(self, seconds: float = SECONDS) -> dict[str, Any]:
        async with asyncio.timeout(seconds):
            frame: dict[str, Any] = json.loads(await self.socket.recv())
        check("chat", frame)
        return frame

    async def next(self, *kinds: str, seconds: float = SECONDS) -> dict[str, Any]:
        """Return the next frame of one of these kinds."""
        async with asyncio.timeout(seconds):
            while True:
                frame = await self.read()
                if frame["type"] in kinds:
                    return frame

    async def send(self, kind: str, **fields: Any) -> None:
        check("chat", {"type": kind, **fields})
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Send a command and return its answer, whatever comes before it."""
        ref = str(uuid4())
        await self.send(kind, ref=ref, **fields)
        async with asyncio.timeout(SECONDS):
            while True:
                frame = await self.read()
                if frame.get("ref") == ref:
                    return frame

    async def join(self, conversation: str) -> dict[str, Any]:
        answer = await self.ask("join_conversation", conversation_id=conversation)
        assert answer["type"] == "conversation_joined", answer
        return answer

    async def say(self, conversation: str, text: str, **fields: Any) -> dict[str, Any]:
        fields.setdefault("client_message_id", str(uuid4()))
        answer = await self.ask("send_message", conversation_id=conversation, text=text, **fields)
        assert answer["type"] == "ack", answer
        return answer

    async def silence(self, seconds: float = 0.5) -> list[dict[str, Any]]:
        """Return what arrives besides heartbeats and presence."""
        got = []
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    frame = await self.read()
                    if frame["type"] not in ("heartbeat", "presence_changed"):
                        got.append(frame)
        return got


async def open_client(server: LiveServer, persona: Persona) -> Client:
    """Connect and wait for the greeting, in a scenario that is played."""
    headers = {"Authorization": f"Bearer {token_of(persona)}"}
    client = Client(await connected(server.address(f"/ws/chat/{persona.tenant_id}/"), additional_headers=headers))
    hello = await client.read(30)
    assert (hello["type"], hello["user_id"]) == ("connection_established", str(persona.user.id))
    return client


def token_of(persona: Persona) -> str:
    return issue_access_token(persona.user, persona.tenant, Role.EMPLOYEE)
