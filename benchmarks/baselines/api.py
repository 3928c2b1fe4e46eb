"""``POST /api/notifications/``: a model serializer, a row in a transaction, a task after its commit."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import transaction
from rest_framework import generics, serializers

from benchmarks.baselines.models import Notification
from benchmarks.baselines.tasks import deliver


class NotificationSerializer(serializers.ModelSerializer[Notification]):
    class Meta:
        model = Notification
        fields = ["id", "channel", "recipient", "content", "context", "status", "created_at"]
        read_only_fields = ["status"]


class NotificationCreate(generics.CreateAPIView[Notification]):
    serializer_class = NotificationSerializer

    def perform_create(self, serializer: serializers.BaseSerializer[Any]) -> None:
        with transaction.atomic():
            notification = serializer.save(user=self.request.user)
            transaction.on_commit(partial(deliver.delay, notification.pk))
