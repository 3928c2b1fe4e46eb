"""The address of chat's socket, with and without the trailing slash."""

from typing import Any, cast

from django.urls import re_path

from messaging.sockets.application import chat_socket

#: ASGI applications, not views.
urlpatterns = [re_path(r"^ws/chat/(?P<tenant_id>[^/]+)/?$", cast("Any", chat_socket))]
