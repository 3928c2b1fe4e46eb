"""Verbs of people (API: ``users``): create, change, approve, delete, erase, export; and of the roles that they have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.utils import timezone

from notification_service.lib.errors import Conflict, InvalidInput, NotFound
from notification_service.lib.ids import new_id
from notification_service.lib.scope import current_tenant_id
from notifications.recipients import hooks
from notifications.recipients.models import Device, Platform, Preference, Recipient, RecipientStatus, Role
from notifications.recipients.people import by_email, by_external_id, by_user_id, person_of
from notifications.recipients.services import register_device
from notifications.recipients.user_fields import DEFAULTS, check_role, check_user
from tenants import audit
from tenants.callers import Caller
from tenants.limits import default_region

#: What a platform's push service is called in ``push_tokens``.
PUSH_PLATFORMS: Final[Mapping[str, Platform]] = {
    "fcm": Platform.ANDROID,
    "apns": Platform.IOS,
    "web": Platform.WEB,
    "android": Platform.ANDROID,
    "ios": Platform.IOS,
}
_REACHABLE: Final = ("email", "phone", "external_user_id")
_GONE: Final = "the user was deleted"


def create_user(caller: Caller, *, push_tokens: Mapping[str, Any] | None = None, **fields: Any) -> Recipient:
    """Store a person. Needs the tenant's scope.

    ``fields`` are those of ``user_fields.DEFAULTS``; ``push_tokens`` is ``{fcm|apns|web: token}``. Raises
    ``InvalidInput`` naming the field, ``Conflict`` (``duplicate``) for an email or external id that somebody has.
    """
    tenant_id = caller.required_tenant_id()
    values = {**DEFAULTS, **check_user(fields, default_region(tenant_id))}
    if not any(values[name] for name in _REACHABLE) and not push_tokens:
        message = f"Give at least one of {', '.join(_REACHABLE)}, push_tokens."
        raise InvalidInput(message, errors={"email": [message]})
    lock_people()
    row = Recipient(tenant_id=tenant_id, id=new_id(), **values)
    _refuse_duplicates(row)
    row.save(force_insert=True)
    know_roles(row.roles)
    _register_tokens(caller, row, push_tokens or {})
    # The audit log can not be erased: it names the fields, never what is in them.
    audit.record(caller, "user.created", "user", row.id, fields=sorted(name for name in values if values[name]))
    hooks.registered([person_of(row)])
    return row


def update_user(
    caller: Caller, user_pk: UUID, changes: Mapping[str, Any], *, push_tokens: Mapping[str, Any] | None = None
) -> Recipient:
    """Change a person. Devices and preferences follow a new external id. Raises ``NotFound``, and as creating does."""
    values = check_user(changes, default_region(caller.required_tenant_id()))
    lock_people()
    row = get_user(user_pk, lock=True)
    before = row.user_id
    changed = sorted(name for name, value in values.items() if getattr(row, name) != value)
    for name in changed:
        setattr(row, name, values[name])
    _refuse_duplicates(row)
    row.save()
    know_roles(row.roles)
    if row.user_id != before:
        _follow(before, row.user_id)
    _register_tokens(caller, row, push_tokens or {})
    if changed:
        audit.record(caller, "user.updated", "user", row.id, fields=changed)
    return row


def get_user(user_pk: UUID, *, lock: bool = False) -> Recipient:
    """Return a person. Needs the tenant's scope. Raises ``NotFound``."""
    rows = Recipient.objects.select_for_update() if lock else Recipient.objects.all()
    row = rows.filter(id=user_pk, deleted_at=None).first()
    if row is None:
        raise NotFound
    return row


def approve_user(caller: Caller, user_pk: UUID) -> Recipient:
    """Let who is pending or unverified receive; who may already stays as they are. ``NotFound``, ``Conflict``."""
    row = get_user(user_pk, lock=True)
    if row.status == RecipientStatus.DISABLED:
        raise Conflict(
            "A disabled user can not be approved; set the status to active.",
            code="wrong_status",
            errors={"status": ["Is disabled."]},
        )
    if row.status in (RecipientStatus.PENDING, RecipientStatus.UNVERIFIED):
        row.status = RecipientStatus.APPROVED
        row.save(update_fields=["status", "updated_at"])
        audit.record(caller, "user.approved", "user", row.id)
    return row


def delete_user(caller: Caller, user_pk: UUID) -> None:
    """Take a person out of every list and audience, and stop their devices; preferences are kept. ``NotFound``."""
    lock_people()
    row = get_user(user_pk, lock=True)
    delete_rows([row])
    audit.record(caller, "user.deleted", "user", row.id)


def delete_rows(rows: Collection[Recipient]) -> None:
    """Take people out of every list and audience, and stop their devices; two statements for any number."""
    now = timezone.now()
    Recipient.objects.filter(id__in=[row.id for row in rows]).update(deleted_at=now, updated_at=now)
    Device.objects.filter(user_id__in=[key for row in rows for key in ids_of(row)], active=True).update(
        active=False, deactivated_reason=_GONE, updated_at=now
    )


def ids_of(row: Recipient) -> list[str]:
    """Return every id under which rooms may know a person."""
    return list(dict.fromkeys((row.user_id, str(row.id))))


def known_as(user_id: str) -> str:
    """Return the tenant's word for who is meant by an id; the id itself if nobody is. Needs the tenant's scope."""
    rows = list(Recipient.objects.filter(by_user_id([user_id]), deleted_at=None))
    row = next((each for each in rows if each.external_user_id == user_id), rows[0] if rows else None)
    return row.user_id if row else user_id


# --- Roles --------------------------------------------------------------------------------------------------------


def create_role(caller: Caller, *, name: str, description: str = "") -> Role:
    """Store a role. Needs the tenant's scope. Raises ``InvalidInput``, ``Conflict`` for a name that is taken."""
    role = Role(tenant_id=caller.required_tenant_id(), name=_role_name(name), description=description)
    _refuse_same_name(role)
    role.save(force_insert=True)
    audit.record(caller, "role.created", "role", role.id, name=role.name)
    return role


def update_role(caller: Caller, role_id: UUID, changes: Mapping[str, Any]) -> Role:
    """Change a role; people keep it under its new name. Raises ``NotFound``, ``InvalidInput``, ``Conflict``."""
    role = get_role(role_id)
    before = role.name
    role.name = _role_name(changes.get("name", role.name))
    role.description = changes.get("description", role.description)
    _refuse_same_name(role)
    role.save()
    if role.name != before:
        _rename_on_people(before, role.name)
    audit.record(caller, "role.updated", "role", role.id, before={"name": before}, after={"name": role.name})
    return role


def delete_role(caller: Caller, role_id: UUID) -> None:
    """Delete a role; nobody has it any more. Raises ``NotFound``."""
    role = get_role(role_id)
    _rename_on_people(role.name, None)
    audit.record(caller, "role.deleted", "role", role.id, name=role.name)
    role.delete()


def get_role(role_id: UUID) -> Role:
    """Return a role. Needs the tenant's scope. Raises ``NotFound``."""
    role = Role.objects.filter(id=role_id).first()
    if role is None:
        raise NotFound
    return role


def know_roles(names: Iterable[str]) -> None:
    """Make the roles that people have and nobody has described yet. Needs the tenant's scope."""
    tenant_id = current_tenant_id()
    missing = set(names) - set(Role.objects.filter(name__in=set(names)).values_list("name", flat=True))
    Role.objects.bulk_create([Role(tenant_id=tenant_id, name=name) for name in sorted(missing)], ignore_conflicts=True)


# --- Details ------------------------------------------------------------------------------------------------------


def lock_people() -> None:
    """Let the tenant's people be written by one transaction at a time: uniqueness is checked before it is enforced."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"people:{current_tenant_id()}"])


def _refuse_duplicates(row: Recipient) -> None:
    errors: dict[str, list[str]] = {}
    for name, condition in (
        ("email", by_email([row.email])),
        ("external_user_id", by_external_id([row.external_user_id])),
    ):
        if Recipient.objects.filter(condition, deleted_at=None).exclude(id=row.id).exists():
            errors[name] = ["Belongs to another user."]
    if errors:
        name = next(iter(errors))
        raise Conflict(f"{name}: Belongs to another user.", code="duplicate", errors=errors)


def _register_tokens(caller: Caller, row: Recipient, tokens: Mapping[str, Any]) -> None:
    for kind, token in tokens.items():
        if kind not in PUSH_PLATFORMS:
            message = f"Unknown push service {kind!r}; known: {', '.join(PUSH_PLATFORMS)}."
            raise InvalidInput(message, errors={f"push_tokens.{kind}": [message]})
        try:
            register_device(
                caller,
                device_id=kind,
                platform=PUSH_PLATFORMS[kind],
                token=token,
                user_id=row.user_id,
                locale=row.locale,
            )
        except InvalidInput as error:
            raise InvalidInput(error.message, errors={f"push_tokens.{kind}": error.errors.get("token", [])}) from None


def _follow(before: str, after: str) -> None:
    taken = Device.objects.filter(user_id=after).values_list("device_id", flat=True)
    Device.objects.filter(user_id=before, device_id__in=list(taken)).delete()
    Device.objects.filter(user_id=before).update(user_id=after, updated_at=timezone.now())
    if Preference.objects.filter(user_id=after).exists():
        Preference.objects.filter(user_id=before).delete()
    else:
        Preference.objects.filter(user_id=before).update(user_id=after, updated_at=timezone.now())


def _role_name(value: Any) -> str:
    try:
        return check_role(value)
    except ValueError as error:
        raise InvalidInput.at("name", str(error)) from None


def _refuse_same_name(role: Role) -> None:
    if Role.objects.filter(name=role.name).exclude(id=role.id).exists():
        raise Conflict("name: There is a role of this name.", code="duplicate", errors={"name": ["Is taken."]})


_RENAME: Final = """
UPDATE recipient SET updated_at = now(), roles = ARRAY(
    SELECT DISTINCT role FROM unnest(array_replace(roles, %(before)s, %(after)s::varchar)) AS role
    WHERE role IS NOT NULL ORDER BY role)
WHERE tenant_id = %(tenant)s AND %(before)s = ANY (roles)
"""


def _rename_on_people(before: str, after: str | None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_RENAME, {"tenant": current_tenant_id(), "before": before, "after": after})
