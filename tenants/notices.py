"""Notices to a tenant's admins about their own keys and credentials.

The audit log is where such a thing is kept; the mail is a courtesy and never in anybody's way.
"""

from __future__ import annotations

from functools import partial
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError

from notification_service.lib.redis import RedisUnavailable, attempt
from tenants.tasks import mail_admins

log = structlog.get_logger(__name__)


def tell_admins(tenant_id: UUID, subject: str, text: str) -> None:
    """Mail the owners and admins of a tenant once the transaction has committed, if the platform can mail at all."""
    if settings.EMAIL_URL:
        transaction.on_commit(partial(_enqueue, str(tenant_id), subject, text), robust=True)


def _enqueue(tenant_id: str, subject: str, text: str) -> None:
    try:
        attempt(lambda client: client.ping())  # Celery itself takes seconds to find out that the broker is down
        mail_admins.delay(tenant_id, subject, text)
    except (RedisUnavailable, OperationalError) as error:
        log.warning("notice_not_sent", tenant_id=tenant_id, notice=subject, error=type(error).__name__)
