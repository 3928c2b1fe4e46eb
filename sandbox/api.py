"""HTTP API over the caught messages."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from typing import Any

from aiohttp import web

from sandbox.store import Filters, Store

STORE = web.AppKey("store", Store)
SMTP_ADDRESS = web.AppKey("smtp_address", str)
#: Magic recipients of the mail server and of all vendors, as they are shown.
MAGIC: web.AppKey[list[dict[str, str]]] = web.AppKey("magic", list)

DEFAULT_LIMIT = 50
LARGEST_LIMIT = 1_000
HTML_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"

_FILTERS = {field.name for field in fields(Filters)}
_PARSED_IN_A_ROW = 20  # messages between two looks at the other clients

routes = web.RouteTableDef()


def error(status: int, detail: str, code: str, **more: Any) -> web.Response:
    """Return an error in the one shape that all have: ``{"detail", "code", "errors"?}``."""
    return web.json_response({"detail": detail, "code": code, **more}, status=status)


class InvalidField(Exception):
    """A query parameter can not be used; names it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


def _filters(request: web.Request) -> Filters:
    return Filters(**{name: request.query[name].strip() for name in _FILTERS if name in request.query})


def _limit(request: web.Request) -> int:
    given = request.query.get("limit", str(DEFAULT_LIMIT))
    if given.isascii() and given.isdigit() and len(given) < 10 and 1 <= int(given) <= LARGEST_LIMIT:
        return int(given)
    raise InvalidField("limit", f"must be a whole number from 1 to {LARGEST_LIMIT}")


def _not_found(request: web.Request) -> web.Response:
    return error(404, f"no message has the id {request.match_info['id']!r}", "not_found")


@routes.get("/health")
async def health(request: web.Request) -> web.Response:
    """Answer that the program works, where its mail server listens, and how many messages it holds."""
    app = request.app
    return web.json_response({"status": "ok", "smtp": app[SMTP_ADDRESS], "messages": app[STORE].count(Filters())})


@routes.get("/api/messages")
async def list_messages(request: web.Request) -> web.Response:
    """List messages, newest first.

    Query: ``channel``, ``tenant``, ``to`` (exact), ``q`` (part of recipient, sender or subject), ``limit`` (1–1000),
    ``before`` (an id: only older ones), ``view=summary`` (leave the contents out). ``total`` counts all matches.
    """
    store, filters, limit = request.app[STORE], _filters(request), _limit(request)
    view = request.query.get("view", "full")
    if view not in ("full", "summary"):
        raise InvalidField("view", "must be full or summary")
    total = store.count(filters)
    if view == "summary":
        return web.json_response({"messages": store.summaries(filters, limit), "total": total})
    messages = []
    for message in store.messages(filters, limit):
        messages.append(message)
        if len(messages) % _PARSED_IN_A_ROW == 0:
            await asyncio.sleep(0)
    return web.json_response({"messages": messages, "total": total})


@routes.delete("/api/messages")
async def clear_messages(request: web.Request) -> web.Response:
    """Delete the messages that match the filters, all without a filter; answers how many there were."""
    for name, value in request.query.items():  # a misspelt or forgotten filter must not clear everything
        if name not in _FILTERS:
            raise InvalidField(name, f"is not a filter; use {', '.join(sorted(_FILTERS))}")
        if not value.strip():
            raise InvalidField(name, "must not be empty")
    return web.json_response({"deleted": request.app[STORE].clear(_filters(request))})


@routes.get("/api/messages/{id}")
async def get_message(request: web.Request) -> web.Response:
    """Return one message."""
    message = request.app[STORE].get(request.match_info["id"])
    return _not_found(request) if message is None else web.json_response(message)


@routes.get("/api/messages/{id}/html")
async def get_html(request: web.Request) -> web.Response:
    """Return the HTML part as a page that can run nothing and fetch nothing."""
    message = request.app[STORE].get(request.match_info["id"])
    if message is None:
        return _not_found(request)
    headers = {"Content-Security-Policy": HTML_POLICY}
    return web.Response(text=message["html"], content_type="text/html", charset="utf-8", headers=headers)


@routes.get("/api/messages/{id}/raw")
async def get_raw(request: web.Request) -> web.Response:
    """Return the bytes of a message as they were received."""
    raw = request.app[STORE].raw(request.match_info["id"])
    if raw is None:
        return _not_found(request)
    return web.Response(body=raw, content_type="text/plain", charset="utf-8")


@routes.get("/api/filters")
async def get_filters(request: web.Request) -> web.Response:
    """Return the channels and tenants that have messages."""
    store = request.app[STORE]
    return web.json_response({"channels": store.channels(), "tenants": store.tenants()})


@routes.get("/api/magic")
async def get_magic(request: web.Request) -> web.Response:
    """Return the magic recipients."""
    return web.json_response({"rules": request.app[MAGIC]})
