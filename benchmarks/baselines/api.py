"""``POST /api/notifications/``: a model serializer, a row in a transaction, a task after its commit.

And ``POST /api/uploads/``: a file, stored, and a task that reads it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from django.core.files.storage import default_storage
from django.db import transaction
from rest_framework import generics, serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from benchmarks.baselines.imports import mail_csv
from benchmarks.baselines.models import Campaign, Notification
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


class UploadSerializer(serializers.Serializer[Any]):
    file = serializers.FileField()
    subject = serializers.CharField(max_length=998)
    template = serializers.SlugField(max_length=255)


class Upload(APIView):
    parser_classes = (MultiPartParser,)

    def post(self, request: Request) -> Response:
        serializer = UploadSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        file = serializer.validated_data.pop("file")
        with transaction.atomic():
            campaign = Campaign.objects.create(**serializer.validated_data)
            name = default_storage.save(f"uploads/{campaign.pk}.csv", file)
            transaction.on_commit(partial(mail_csv.delay, campaign.pk, name))
        return Response({"id": campaign.pk}, status=202)
