"""Mattermost's incoming webhooks: https://developers.mattermost.com/integrate/webhooks/incoming/.

Base URL: ``http://<sandbox>/mattermost``; any token is known but those that start with ``wrong`` or ``invalid``, and
the token is the magic recipient.
"""

from __future__ import annotations

import json
from urllib.parse import parse_qs

from aiohttp import web

from sandbox.api import STORE
from sandbox.misbehaviour import HANG, SLOW, Behaviour, act, hang_up

channel = "apprise"
recipients: dict[str, Behaviour] = {
    "wrong-token": Behaviour("Refused for good.", 403, message="Invalid webhook"),
    "rate-limited-token": Behaviour("Always refused for now.", 429, message="limit exceeded"),
    "error-500-token": Behaviour("Always refused for now.", 500, message="Internal server error"),
    "slow-token": Behaviour(f"Accepted after {SLOW:g} seconds.", way="slow"),
    "hang-token": Behaviour(f"No answer for {HANG:g} seconds; nothing is kept.", way="hang"),
    "drop-token": Behaviour("The connection is closed without an answer; nothing is kept.", way="drop"),
    "lost-token": Behaviour("Accepted, but the connection is closed before the answer.", way="lost"),
    "redirect-token": Behaviour("A redirect.", way="redirect"),
}

routes = web.RouteTableDef()


def _error(status: int, message: str) -> web.Response:
    document = {"id": "web.incoming_webhook.error", "message": message, "detailed_error": "", "status_code": status}
    return web.json_response(document, status=status)


@routes.post("/mattermost/hooks/{token}")
async def take(request: web.Request) -> web.Response:
    """Take a message: JSON, or a form whose field ``payload`` is JSON."""
    token = request.match_info["token"]
    raw = await request.read()
    behaviour = recipients.get(token.lower(), Behaviour(""))
    if token.lower().startswith(("wrong", "invalid")):
        behaviour = recipients["wrong-token"]
    if answer := await act(request, behaviour):
        return answer
    if behaviour.status:
        return _error(behaviour.status, behaviour.message)
    try:
        text = raw.decode()
        payload = json.loads(parse_qs(text)["payload"][0] if text.startswith("payload=") else text)
        said = payload["text"]
    except (ValueError, KeyError, TypeError):
        said = None
    if not isinstance(said, str) or not said:
        return _error(400, "No text specified")
    request.app[STORE].add(
        channel=channel,
        tenant="",
        to=[str(payload.get("channel") or token)],
        sender=str(payload.get("username") or ""),
        raw=raw,
        subject=said.splitlines()[0][:200] if said.strip() else "",
        text=said,
        html="",
        headers={"Token": token},
    )
    return hang_up(request) if behaviour.way == "lost" else web.Response(text="ok")
