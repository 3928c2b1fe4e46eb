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

Keep each vendor's addresses under a prefix of its own: base URLs of the real providers point at it.

A module may also have ``recipients``, its table of magic recipients (``sandbox.misbehaviour.Behaviour`` by recipient),
and ``channel``: then the page and ``/api/magic`` show them.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType

from aiohttp import web

from sandbox.misbehaviour import rules


def _modules() -> list[ModuleType]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__, prefix=f"{__name__}."))
    return [import_module(name) for name in names]


def vendor_routes() -> list[web.RouteTableDef]:
    """Return the route tables of all vendor ends in this package, ordered by module name."""
    return [module.routes for module in _modules()]


def vendor_rules() -> list[dict[str, str]]:
    """Return the magic recipients of all vendor ends, in the shape of ``sandbox.magic.Rule.as_dict``."""
    return [
        rule
        for module in _modules()
        if hasattr(module, "recipients")
        for rule in rules(module.__name__.rpartition(".")[2], module.channel, module.recipients)
    ]
