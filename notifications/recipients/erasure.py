"""A person's rights: to see what is known of them, and to have it erased (GDPR, articles 15, 17 and 20)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from notification_service.lib.errors import NotFound
from notification_service.lib.masking import mask
from notifications.recipients import hooks
from notifications.recipients.models import Device, Preference, Recipient, Suppression
from notifications.recipients.preferences import describe_preferences, get_preferences
from notifications.recipients.suppressions import suppression_key
from notifications.recipients.users import ids_of, lock_people
from tenants import audit
from tenants.callers import Caller


def erase_user(caller: Caller, user_pk: UUID) -> None:
    """Erase a person, deleted ones too: contact points, devices, preferences, and what other rooms hold of them.

    Kept are numbers, and suppressions: that an address must not be written to has to be known for as long as it holds.
    Raises ``NotFound``.
    """
    lock_people()
    row = Recipient.objects.select_for_update().filter(id=user_pk).first()
    if row is None:
        raise NotFound
    user_ids, known = ids_of(row), _known_as(row)
    if row.external_user_id:
        # Earlier rows of the same person, that were deleted and synchronised anew.
        Recipient.objects.filter(external_user_id=row.external_user_id).exclude(deleted_at=None).delete()
    Recipient.objects.filter(id=row.id).delete()
    Device.objects.filter(user_id__in=user_ids).delete()
    Preference.objects.filter(user_id__in=user_ids).delete()
    hooks.erased(known)
    audit.record(caller, "user.erased", "user", row.id)


def export_user(row: Recipient) -> dict[str, Any]:
    """Return what is known of a person besides the row itself, as JSON values. Needs the tenant's scope."""
    user_ids, known = ids_of(row), _known_as(row)
    devices = Device.objects.filter(user_id__in=user_ids).order_by("id")
    names = ("device_id", "platform", "app_version", "locale", "active", "last_seen_at", "created_at")
    held = Suppression.objects.filter(address__in=known.addresses).order_by("id")
    return {
        "devices": [
            {**{name: getattr(device, name) for name in names}, "token": mask(device.token)} for device in devices
        ],
        "preferences": describe_preferences(get_preferences(row.user_id)),
        "suppressions": [
            {"channel": each.channel, "category": each.category, "reason": each.reason, "created_at": each.created_at}
            for each in held
        ],
        **hooks.export(known),
    }


def _known_as(row: Recipient) -> hooks.KnownAs:
    user_ids = ids_of(row)
    tokens = Device.objects.filter(user_id__in=user_ids).order_by("id").values_list("token", flat=True)
    addresses = [row.email, suppression_key("email", row.email), row.phone, *tokens, *user_ids]
    return hooks.KnownAs(tuple(user_ids), tuple(dict.fromkeys(address for address in addresses if address)))
