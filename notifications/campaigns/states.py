"""The life of a campaign and of one recipient in it, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.db import models


class CampaignStatus(models.TextChoices):
    """Where a campaign stands."""

    DRAFT = "draft", "Draft"
    SCHEDULED = "scheduled", "Scheduled"
    SENDING = "sending", "Sending"
    PAUSED = "paused", "Paused"
    COMPLETED = "completed", "Completed"
    CANCELLED = "cancelled", "Cancelled"
    FAILED = "failed", "Failed"


#: From where a campaign may move where. What is not listed can not happen; a final status is left by nothing.
TRANSITIONS: Final[Mapping[CampaignStatus, frozenset[CampaignStatus]]] = {
    CampaignStatus.DRAFT: frozenset({CampaignStatus.SCHEDULED, CampaignStatus.SENDING, CampaignStatus.CANCELLED}),
    CampaignStatus.SCHEDULED: frozenset(
        {CampaignStatus.SENDING, CampaignStatus.PAUSED, CampaignStatus.CANCELLED, CampaignStatus.FAILED}
    ),
    CampaignStatus.SENDING: frozenset(
        {CampaignStatus.PAUSED, CampaignStatus.COMPLETED, CampaignStatus.CANCELLED, CampaignStatus.FAILED}
    ),
    # Resumed, it goes back to where it was paused.
    CampaignStatus.PAUSED: frozenset({CampaignStatus.SCHEDULED, CampaignStatus.SENDING, CampaignStatus.CANCELLED}),
    CampaignStatus.COMPLETED: frozenset(),
    CampaignStatus.CANCELLED: frozenset(),
    CampaignStatus.FAILED: frozenset(),
}

FINAL: Final = frozenset(status for status, onward in TRANSITIONS.items() if not onward)
#: Statuses in which its words, times and limits may still be changed.
EDITABLE: Final = frozenset({CampaignStatus.DRAFT, CampaignStatus.SCHEDULED})


class RecipientState(models.TextChoices):
    """What a campaign did with one recipient; what became of the message is the record's business."""

    STAGED = "staged", "Staged"
    RECORDED = "recorded", "Recorded"
    #: A record too, but one that ends as ``suppressed`` at once: a suppression, a preference, a frequency cap.
    WITHHELD = "withheld", "Withheld"
    #: No record could be made of it: its address or its values are wrong.
    REJECTED = "rejected", "Rejected"
    CANCELLED = "cancelled", "Cancelled"


class Staging(models.TextChoices):
    """Whether the recipients of a campaign's source have all been written down."""

    RUNNING = "running", "Running"
    DONE = "done", "Done"


class Segment(models.TextChoices):
    """Recipients of an earlier campaign, by what became of its message."""

    ALL = "all", "All"
    SENT = "sent", "Sent"
    DELIVERED = "delivered", "Delivered"
    OPENED = "opened", "Opened"
    NOT_OPENED = "not_opened", "Not opened"
    CLICKED = "clicked", "Clicked"
    NOT_CLICKED = "not_clicked", "Not clicked"
    FAILED = "failed", "Failed"
    BOUNCED = "bounced", "Bounced"
