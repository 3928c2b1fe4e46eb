"""WebSockets as Channels' documentation has them: a consumer, a group for each person, ``group_send``."""

from __future__ import annotations

from urllib.parse import parse_qs

from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

django_application = get_asgi_application()


class NotificationConsumer(AsyncJsonWebsocketConsumer):
    """A person's notifications. Who they are is taken from the address, which costs less than any real check."""

    async def connect(self):
        self.group = "user_" + parse_qs(self.scope["query_string"].decode())["user"][0]
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()

    async def disconnect(self, code):
        await self.channel_layer.group_discard(self.group, self.channel_name)

    async def notification(self, event):
        await self.send_json(event["data"])


application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": URLRouter([path("ws/notifications/", NotificationConsumer.as_asgi())]),
    }
)
