"""The HTTP application: the page, the API, and the vendors' ends."""

from __future__ import annotations

import logging
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from sandbox import api
from sandbox.callbacks import run_callbacks
from sandbox.magic import RULES
from sandbox.store import Store
from sandbox.vendors import vendor_routes, vendor_rules

BODY_LIMIT = 32 * 2**20  # bytes

_PAGES = Path(__file__).parent / "pages"
_FILES = {
    "/": ("index.html", "text/html"),
    "/static/app.css": ("app.css", "text/css"),
    "/static/app.js": ("app.js", "text/javascript"),
}
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}

log = logging.getLogger("sandbox.http")


@web.middleware
async def plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every error the API's shape, and every answer the same careful headers."""
    response: web.StreamResponse
    try:
        response = await handler(request)
    except api.InvalidField as invalid:
        response = api.error(400, str(invalid), "invalid", errors={invalid.field: [invalid.problem]})
    except web.HTTPException as problem:
        if problem.status < 400:
            raise
        response = api.error(problem.status, problem.reason, problem.reason.lower().replace(" ", "_"))
        if "Allow" in problem.headers:
            response.headers["Allow"] = problem.headers["Allow"]
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        response = api.error(500, "Internal error", "internal_error")
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    return response


async def _file(request: web.Request) -> web.Response:
    name, content_type = _FILES[request.path]
    headers = {"Content-Security-Policy": _PAGE_POLICY}
    body = (_PAGES / name).read_bytes()
    return web.Response(body=body, content_type=content_type, charset="utf-8", headers=headers)


def create_app(store: Store, smtp_address: str) -> web.Application:
    """Return the application over ``store``; the caller opens and closes the store.

    ``smtp_address`` (host:port) is what the page tells people to send their mail to.
    """
    app = web.Application(middlewares=[plain_errors], client_max_size=BODY_LIMIT)
    app[api.STORE] = store
    app[api.SMTP_ADDRESS] = smtp_address
    app[api.MAGIC] = [*(rule.as_dict() for rule in RULES.values()), *vendor_rules()]
    app.cleanup_ctx.append(run_callbacks)
    for path in _FILES:
        app.router.add_get(path, _file)
    app.add_routes(api.routes)
    for routes in vendor_routes():
        app.add_routes(routes)
    return app
