"""One port for everything: HTTP through a pool of threads, WebSockets through Channels.

Django's own ASGI handler hops between threads several times a request; running the WSGI application in a thread pool
under the same server answers three to six times as many requests a second.
"""

from __future__ import annotations

import os
from typing import Any, cast

from a2wsgi import WSGIMiddleware
from channels.routing import URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notification_service.settings")
get_asgi_application()  # loads the apps

from messaging.sockets import routing as chat_sockets  # noqa: E402 - needs the apps
from messaging.sockets.commands import hub as chat_hub  # noqa: E402 - needs the apps
from notification_service.alerts import Watcher  # noqa: E402 - needs the apps
from notification_service.checks import refuse_unsafe_settings  # noqa: E402 - needs the apps
from notification_service.lib.asgi import Application, FastDoors  # noqa: E402 - needs the settings
from notification_service.lib.patience import Patience  # noqa: E402 - needs the settings
from notification_service.wsgi import application as wsgi_application  # noqa: E402 - needs the apps
from notifications.inbox.socket import routing as inbox_sockets  # noqa: E402 - needs the apps
from notifications.inbox.socket.application import hub  # noqa: E402 - needs the apps
from notifications.inbox.socket.door import hide_secrets  # noqa: E402 - needs the apps
from notifications.records.door import RecordsDoor  # noqa: E402 - needs the apps

refuse_unsafe_settings()

_THREADS = int(os.environ.get("WEB_THREADS", "16"))

records_door = RecordsDoor()
watcher = Watcher()
http = FastDoors(
    {"/api/notifications/records/": records_door},
    Patience(
        cast("Application", WSGIMiddleware(cast("Any", wsgi_application), workers=_THREADS)),
        settings.CLIENT_PATIENCE_SECONDS,
    ),
)
websocket = URLRouter([*inbox_sockets.urlpatterns, *chat_sockets.urlpatterns, inbox_sockets.nowhere])


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Route one ASGI connection (ASGI 3.0: ``http``, ``websocket``, ``lifespan``)."""
    if scope["type"] == "http":
        await http(scope, receive, send)
    elif scope["type"] == "websocket":
        hide_secrets(scope)
        await websocket(scope, receive, send)
    elif scope["type"] == "lifespan":
        await _lifespan(receive, send)


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            watcher.start()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            watcher.stop()
            await records_door.close()
            await hub().stop()
            await chat_hub().stop()
            return
