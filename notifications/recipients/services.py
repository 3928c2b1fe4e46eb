"""Verbs of devices. Those of suppressions are in ``suppressions.py``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final
from uuid import UUID

import orjson
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from notification_service.lib.errors import InvalidInput, NotFound, PermissionDenied
from notifications.channels.base import ContentError
from notifications.channels.registry import channels
from notifications.recipients.models import MAX_ADDRESS, Device, Suppression, SuppressionReason
from tenants import audit
from tenants.callers import Caller
from tenants.permissions import Permission

#: The channel that devices receive on.
PUSH: Final = "push"
#: Any one of these lets a caller register other people's devices, and (with ``users:read`` too) see them.
MANAGE_OTHERS: Final = (Permission.USERS_MANAGE, Permission.NOTIFICATIONS_WRITE)
READ_OTHERS: Final = (*MANAGE_OTHERS, Permission.USERS_READ)


def register_device(
    caller: Caller,
    *,
    device_id: str,
    platform: str,
    token: str | Mapping[str, Any],
    user_id: str | None = None,
    app_version: str = "",
    locale: str = "",
) -> tuple[Device, bool]:
    """Register a device, or give the one that this person already has a new token; return it and whether it is new.

    ``user_id`` is the caller when it is not given. ``token`` may be a Web Push subscription as an object. A token that
    another person's device had leaves that device. Needs the tenant's scope. Raises ``InvalidInput`` naming the field,
    ``PermissionDenied`` for other people's devices.
    """
    user_id = _whose(caller, user_id, MANAGE_OTHERS)
    address = normal_token(token)
    _take_token(caller.required_tenant_id(), address, keep=(user_id, device_id))
    device, created = Device.objects.update_or_create(
        tenant_id=caller.required_tenant_id(),
        user_id=user_id,
        device_id=device_id,
        defaults={
            "platform": platform,
            "token": address,
            "app_version": app_version,
            "locale": locale,
            "active": True,
            "deactivated_reason": "",
            "last_seen_at": timezone.now(),
        },
    )
    if created:
        audit.record(caller, "device.registered", "device", device.id, user_id=user_id, platform=platform)
    return device, created


def update_device(caller: Caller, device_pk: UUID, changes: Mapping[str, Any]) -> Device:
    """Change a device: token, platform, version, locale, ``active``. Raises ``NotFound``, and as registering does."""
    device = get_device(caller, device_pk, MANAGE_OTHERS)
    for name, value in changes.items():
        setattr(device, name, normal_token(value) if name == "token" else value)
    if device.active:
        _take_token(device.tenant_id, device.token, keep=(device.user_id, device.device_id))
    device.deactivated_reason = "" if device.active else device.deactivated_reason or "by the tenant"
    device.last_seen_at = timezone.now()
    device.save()
    return device


def delete_device(caller: Caller, device_pk: UUID) -> None:
    """Forget a device. Raises ``NotFound``."""
    device = get_device(caller, device_pk, MANAGE_OTHERS)
    audit.record(caller, "device.deleted", "device", device.id, user_id=device.user_id, platform=device.platform)
    device.delete()


def get_device(caller: Caller, device_pk: UUID, others: Collection[Permission] = READ_OTHERS) -> Device:
    """Return a device: one's own, or anybody's with one of the permissions ``others``. Raises ``NotFound``."""
    device = Device.objects.filter(id=device_pk).first()
    if device is None or not (_is_own(caller, device.user_id) or _may_any(caller, others)):
        raise NotFound
    return device


def list_devices(caller: Caller, user_id: str | None = None, *, everybody: bool = False) -> QuerySet[Device]:
    """Return the devices of a person (the caller when not given), or of everybody.

    A caller that is no person (an API key, a service) sees everybody's when it names nobody. Raises
    ``PermissionDenied``.
    """
    if everybody or (user_id is None and not caller.may(Permission.SELF)):
        if not _may_any(caller, READ_OTHERS):
            raise PermissionDenied
        return Device.objects.all()
    return Device.objects.filter(user_id=_whose(caller, user_id, READ_OTHERS))


def devices_of(user_ids: Iterable[str]) -> dict[str, list[Device]]:
    """Return the active devices of each person who has any, by user id, in one query. Needs the tenant's scope."""
    found: dict[str, list[Device]] = {}
    for device in Device.objects.filter(user_id__in=set(user_ids), active=True).order_by("id"):
        found.setdefault(device.user_id, []).append(device)
    return found


def deactivate(tokens: Collection[str], reason: str) -> int:
    """Stop using the devices that have these tokens; return how many there were. Needs the tenant's scope."""
    return Device.objects.filter(token__in=list(tokens), active=True).update(
        active=False, deactivated_reason=reason[:255], updated_at=timezone.now()
    )


def normal_token(token: str | Mapping[str, Any]) -> str:
    """Return the one form of a token or Web Push subscription. Raises ``InvalidInput`` for the field ``token``."""
    try:
        text = token if isinstance(token, str) else orjson.dumps(dict(token)).decode()
        address = channels.get(PUSH).normalise_address(text)
        if len(address) > MAX_ADDRESS:
            raise ContentError(f"A device token has at most {MAX_ADDRESS} characters.", field="token")
    except ContentError as error:
        raise InvalidInput.at("token", error.message) from None
    except TypeError:
        raise InvalidInput("token: Is nested too deeply.", errors={"token": ["Is nested too deeply."]}) from None
    return address


def _take_token(tenant_id: UUID, token: str, *, keep: tuple[str, str]) -> None:
    """Take a token from every device but one; what made the token a dead address is over."""
    # Registrations of a tenant go one after another: two of the same token would otherwise both think they are alone.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"devices:{tenant_id}"])
    user_id, device_id = keep
    holders = Device.objects.filter(token=token, active=True).exclude(user_id=user_id, device_id=device_id)
    holders.update(active=False, deactivated_reason="moved", updated_at=timezone.now())
    Suppression.objects.filter(channel=PUSH, address=token, reason=SuppressionReason.DEAD_ADDRESS).delete()


def _whose(caller: Caller, user_id: str | None, others: Collection[Permission]) -> str:
    if user_id is None:
        if not caller.may(Permission.SELF):
            message = "Say whose device it is: this caller is no person."
            raise InvalidInput.at("user_id", message)
        return caller.actor_id
    if not _is_own(caller, user_id) and not _may_any(caller, others):
        raise PermissionDenied("You may only manage your own devices.")
    return user_id


def _is_own(caller: Caller, user_id: str) -> bool:
    return caller.may(Permission.SELF) and caller.actor_id == user_id


def _may_any(caller: Caller, permissions: Collection[Permission]) -> bool:
    return any(caller.may(permission) for permission in permissions)
