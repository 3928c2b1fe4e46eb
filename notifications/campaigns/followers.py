"""How far campaigns are, for the sockets of those who follow progress."""

from __future__ import annotations

from notifications.campaigns.progress import Progress
from notifications.inbox.live import publish_to_tenant_admins


def tell_of_campaign(progress: Progress) -> None:
    """Tell a tenant's people who follow progress how far a campaign is: recipients dealt with, of how many so far."""
    publish_to_tenant_admins(
        progress.tenant_id,
        {
            "kind": "campaign",
            "id": str(progress.campaign_id),
            "status": progress.status,
            "detail": progress.problem,
            "done": progress.total - progress.staged - progress.waiting,
            "total": progress.total,
            "failed": progress.failed + progress.rejected,
            "sent": progress.sent,
            "percent": progress.percent,
            "rate": progress.rate,
            "eta": progress.eta,
        },
    )
