"""The audit log's one verb: ``record`` an action, secrets masked, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from notification_service.lib.masking import mask_secrets
from notification_service.lib.request_context import current_request
from notification_service.lib.scope import platform_scope
from tenants.callers import Caller
from tenants.models import AuditLog


def record(
    caller: Caller,
    action: str,
    resource_type: str,
    resource_id: UUID | str = "",
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    **details: Any,
) -> AuditLog:
    """Append one action of ``caller`` (``credential.created``, ``record.cancelled`` …).

    Only what differs between ``before`` and ``after`` is kept. Needs a scope that may write the caller's tenant.
    """
    metadata: dict[str, Any] = mask_secrets(details)
    if before is not None or after is not None:
        before, after = dict(before or {}), dict(after or {})
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        metadata["before"] = mask_secrets({key: before[key] for key in before.keys() & changed})
        metadata["after"] = mask_secrets({key: after[key] for key in after.keys() & changed})
    request = current_request()
    return AuditLog.objects.create(
        tenant_id=caller.tenant_id,
        actor_type=caller.actor_type,
        actor_id=caller.actor_id,
        actor_label=caller.actor_label[:255],
        action=action,
        resource_type=resource_type,
        resource_id=str(resource_id),
        metadata=metadata,
        ip_address=request.ip if request else None,
        user_agent=request.user_agent[:500] if request else "",
    )


def record_for_platform(
    caller: Caller, action: str, resource_type: str, resource_id: UUID | str = "", **details: Any
) -> AuditLog:
    """Append an action that belongs to no tenant."""
    with platform_scope(f"audit {action}"):
        return record(caller, action, resource_type, resource_id, **details)
