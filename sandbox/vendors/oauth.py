"""An OAuth 2 token endpoint for mail accounts: access tokens that the pretend mail server takes for XOAUTH2.

``POST /oauth/token`` with ``grant_type`` ``refresh_token`` (RFC 6749 §6) or ``client_credentials`` (§4.4). All is
well but what starts with ``wrong``, ``invalid`` or ``expired``; a ``refresh_token`` that starts with ``revoked`` gives
an access token that the mail server refuses.
"""

from __future__ import annotations

import secrets

from aiohttp import web

LIFETIME = 3600  # seconds
_BAD = ("wrong", "invalid", "expired")

routes = web.RouteTableDef()


@routes.post("/oauth/token")
async def token(request: web.Request) -> web.Response:
    """Give an access token."""
    given = {name: str(value) for name, value in (await request.post()).items()}
    kind = given.get("grant_type", "")
    if kind not in ("refresh_token", "client_credentials"):
        return _error(400, "unsupported_grant_type", "The grant type is not supported.")
    needed = ("client_id", "refresh_token") if kind == "refresh_token" else ("client_id", "client_secret")
    if missing := [name for name in needed if not given.get(name)]:
        return _error(400, "invalid_request", f"Missing: {', '.join(missing)}.")
    if any(given.get(name, "").startswith(_BAD) for name in ("client_id", "client_secret")):
        return _error(401, "invalid_client", "The OAuth client was not found.")
    if given.get("refresh_token", "").startswith(_BAD):
        return _error(400, "invalid_grant", "Token has been expired or revoked.")
    prefix = "expired" if given.get("refresh_token", "").startswith("revoked") else "sandbox"
    access = f"{prefix}.{secrets.token_urlsafe(24)}"
    return web.json_response({"access_token": access, "expires_in": LIFETIME, "token_type": "Bearer"})


def _error(status: int, code: str, words: str) -> web.Response:
    return web.json_response({"error": code, "error_description": words}, status=status)
