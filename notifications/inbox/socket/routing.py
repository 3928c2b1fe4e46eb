"""Addresses of the live socket, with and without the trailing slash."""

from django.urls import re_path

from notifications.inbox.socket.application import live_socket, no_such_socket

urlpatterns = [
    re_path(r"^ws/notifications/?$", live_socket),
    re_path(r"^ws/notifications/(?P<tenant_id>[^/]+)/?$", live_socket),
    re_path(r"^ws/notifications/(?P<tenant_id>[^/]+)/(?P<user_id>.+?)/?$", live_socket),
]
#: Stands after all other sockets.
nowhere = re_path("", no_such_socket)
