"""Celery tasks of the tenants room; they run on the default queue, ``control``."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task
from django.core.mail import EmailMessage, get_connection
from django.db import InterfaceError, OperationalError

from notification_service.lib.scope import platform_scope
from tenants.models import Membership, Role


@shared_task(
    ignore_result=True,
    autoretry_for=(OperationalError, InterfaceError, OSError),  # smtplib's errors are OSErrors
    retry_backoff=1,
    retry_backoff_max=60,
    max_retries=8,
)
def mail_admins(tenant_id: str, subject: str, text: str) -> None:
    """Mail a tenant's owners and admins, each by themselves."""
    with platform_scope("mail to a tenant's admins"):
        to = list(
            Membership.objects.filter(
                tenant_id=UUID(tenant_id), role__in=(Role.OWNER, Role.ADMIN), user__is_active=True
            ).values_list("user__email", flat=True)
        )
    get_connection().send_messages([EmailMessage(subject=subject, body=text, to=[address]) for address in to])
