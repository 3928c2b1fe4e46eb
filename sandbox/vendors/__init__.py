"""HTTP ends of pretend vendors, one file each.

A vendor end is a module in this package with a ``routes`` table; it is found and served without further wiring::

    from aiohttp import web
    from sandbox.api import STORE

    routes = web.RouteTableDef()

    @routes.post("/vendor/v1/send")
    async def send(request: web.Request) -> web.Response:
        raw = await request.read()
        store = request.app[STORE]
        ids = store.add(channel="sms", tenant="", to=["+15551234567"], sender="", raw=raw, text="…")
        return web.json_response({"id": ids[0]})

Keep each vendor's addresses apart from the others': base URLs of the real providers point at them. A module may also
have ``RULES``, a tuple of ``sandbox.magic.Rule``: its magic recipients.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module

from aiohttp import web

from sandbox.magic import Rule


def vendor_rules() -> list[Rule]:
    """Return the magic recipients of all vendor ends."""
    return [rule for name in _names() for rule in getattr(import_module(name), "RULES", ())]


def vendor_routes() -> list[web.RouteTableDef]:
    """Return the route tables of all vendor ends in this package, ordered by module name."""
    return [import_module(name).routes for name in _names()]


def _names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(__path__, prefix=f"{__name__}."))
