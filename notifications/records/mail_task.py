"""The task by which programs beside us in the cluster send a mail of a template."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from celery import shared_task
from django.db import InterfaceError, OperationalError
from django.db.models import Q

from notification_service.lib.errors import NotFound, TooManyRequests
from notification_service.lib.scope import tenant_scope
from notifications.records.idempotency import Answer, answer_once, fingerprint_of
from notifications.records.intake import NewRecord, accept
from tenants import limits
from tenants.callers import system_caller
from tenants.models import Tenant


@shared_task(
    name="send_notification_email",
    bind=True,
    autoretry_for=(OperationalError, InterfaceError, TooManyRequests),
    retry_backoff=1,
    retry_backoff_max=60,
    max_retries=8,
)
def send_notification_email(
    self: Any,
    tenant_id: str,
    to_email: str,
    subject: str,
    template_key: str,
    context: Mapping[str, Any] | None = None,
) -> str:
    """Accept one email of a template; return the record's id. A task that is delivered twice sends once.

    ``tenant_id`` is the tenant's id, its slug, or its id at the Auth Service; a ``subject`` takes the place of the
    template's. Raises ``NotFound`` for an unknown tenant, ``InvalidInput`` and ``ContentInvalid`` naming the field.
    """
    tenant = _tenant(tenant_id)
    caller = system_caller(tenant.id, "send_notification_email")
    new = NewRecord(
        channel="email",
        recipient=to_email,
        content={"subject": subject} if subject else {},
        context=context or {},
        template=template_key,
    )

    def act() -> Answer:
        return Answer(201, {"id": str(accept(caller, new).id)})

    said = [to_email, subject, template_key, context]
    with tenant_scope(tenant.id):
        limits.admit(tenant.id, caller.mode)
        answer = answer_once(tenant.id, self.request.id, fingerprint_of("send_notification_email", said), act)
    return str(answer.body["id"])


def _tenant(key: str) -> Tenant:
    found = Q(external_id=key) | Q(slug=key)
    with contextlib.suppress(ValueError):
        found |= Q(id=UUID(key))
    tenant = Tenant.objects.filter(found).first()
    if tenant is None or not tenant.is_open:
        raise NotFound(f"There is no tenant {key[:100]!r}.")
    return tenant
