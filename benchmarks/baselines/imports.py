"""A file of recipients, imported as the documentation of Django and Django REST framework has it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from celery import shared_task
from django.core.files.storage import default_storage
from rest_framework import serializers

from benchmarks.baselines.models import Campaign, CampaignRecipient
from benchmarks.baselines.tasks import send_mail

_BATCH = 1000


class RecipientSerializer(serializers.Serializer[Any]):
    recipient = serializers.EmailField(max_length=512)
    name = serializers.CharField(max_length=200)
    city = serializers.CharField(max_length=200)
    voucher = serializers.CharField(max_length=64)
    number = serializers.CharField(max_length=16)


@shared_task
def import_csv(campaign_id: int, path: str) -> None:
    """Read the file, and insert a thousand rows at a time."""
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        for some in _read(campaign_id, file):
            CampaignRecipient.objects.bulk_create(some)
    Campaign.objects.filter(pk=campaign_id).update(subject="imported")


@shared_task
def mail_csv(campaign_id: int, name: str) -> None:
    """Read an uploaded file, insert a thousand rows at a time, and queue a task for each of them."""
    with default_storage.open(name) as file, TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        for some in _read(campaign_id, text):
            for recipient in CampaignRecipient.objects.bulk_create(some):
                send_mail.delay(recipient.pk)


def _read(campaign_id: int, file: Iterable[str]) -> Iterator[list[CampaignRecipient]]:
    """Read a file row by row, check each, and leave out addresses that were there."""
    seen: set[str] = set()
    waiting: list[CampaignRecipient] = []
    errors: list[tuple[int, Any]] = []
    for number, row in enumerate(csv.DictReader(file), start=2):
        checked = RecipientSerializer(data=row)
        if not checked.is_valid():
            errors.append((number, checked.errors))
            continue
        context = dict(checked.validated_data)
        address = context.pop("recipient").lower()
        if address in seen:
            continue
        seen.add(address)
        waiting.append(CampaignRecipient(campaign_id=campaign_id, address=address, context=context))
        if len(waiting) == _BATCH:
            yield waiting
            waiting = []
    yield waiting
