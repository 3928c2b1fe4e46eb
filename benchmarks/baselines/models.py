"""Tables of the baselines."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Notification(models.Model):
    """One notification, as an API takes it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    channel = models.CharField(max_length=32)
    recipient = models.CharField(max_length=512)
    content = models.JSONField()
    context = models.JSONField(default=dict)
    status = models.CharField(max_length=16, default="pending", db_index=True)
    created_at = models.DateTimeField(auto_now_add=True)


class Campaign(models.Model):
    """What all recipients of a campaign share."""

    subject = models.CharField(max_length=998)
    template = models.CharField(max_length=255)


class CampaignRecipient(models.Model):
    """The ledger: one row a recipient."""

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE)
    address = models.CharField(max_length=512)
    context = models.JSONField(default=dict)
    status = models.CharField(max_length=16, default="pending", db_index=True)
    provider_message_id = models.CharField(max_length=255, blank=True)
    error = models.TextField(blank=True)
    sent_at = models.DateTimeField(null=True)
