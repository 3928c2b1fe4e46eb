"""All channels, by key."""

from __future__ import annotations

from notification_service.lib.registry import Registry
from notifications.channels.apprise import AppriseChannel
from notifications.channels.base import Channel
from notifications.channels.email import EmailChannel
from notifications.channels.inapp import InAppChannel
from notifications.channels.push import PushChannel
from notifications.channels.sms import SmsChannel
from notifications.channels.whatsapp import WhatsAppChannel

_ALL: tuple[type[Channel], ...] = (
    EmailChannel,
    SmsChannel,
    PushChannel,
    WhatsAppChannel,
    InAppChannel,
    AppriseChannel,
)

channels: Registry[Channel] = Registry("channel")
for _channel in _ALL:
    channels.register(_channel.key, _channel())
