"""Addresses of the live socket, with and without the trailing slash."""

from typing import Any, cast

from django.urls import re_path

from notifications.inbox.socket.application import live_socket, no_such_socket

# Channels' router takes ASGI applications where Django's takes views.
_live, _nowhere = cast("Any", live_socket), cast("Any", no_such_socket)

urlpatterns = [
    re_path(r"^ws/notifications/?$", _live),
    re_path(r"^ws/notifications/(?P<tenant_id>[^/]+)/?$", _live),
    re_path(r"^ws/notifications/(?P<tenant_id>[^/]+)/(?P<user_id>.+?)/?$", _live),
]
#: Stands after all other sockets.
nowhere = re_path("", _nowhere)
