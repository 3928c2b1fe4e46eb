"""A file of recipients, imported as the documentation of Django and Django REST framework has it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from celery import shared_task
from rest_framework import serializers

from benchmarks.baselines.models import Campaign, CampaignRecipient

_BATCH = 1000


class RecipientSerializer(serializers.Serializer[Any]):
    recipient = serializers.EmailField(max_length=512)
    name = serializers.CharField(max_length=200)
    city = serializers.CharField(max_length=200)
    voucher = serializers.CharField(max_length=64)
    number = serializers.CharField(max_length=16)


@shared_task
def import_csv(campaign_id: int, path: str) -> None:
    """Read the file row by row, check each, leave out addresses that were there, and insert a thousand at a time."""
    seen: set[str] = set()
    waiting: list[CampaignRecipient] = []
    errors: list[tuple[int, Any]] = []
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
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
                CampaignRecipient.objects.bulk_create(waiting)
                waiting = []
    CampaignRecipient.objects.bulk_create(waiting)
    Campaign.objects.filter(pk=campaign_id).update(subject="imported")
