"""People by the thousand: what another system knows of its people becomes what we know, by external id."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final
from uuid import UUID

import orjson
from django.db import connection

from notification_service.lib.errors import InvalidInput
from notification_service.lib.ids import new_id
from notification_service.lib.scope import current_tenant_id
from notifications.recipients import hooks
from notifications.recipients.models import Recipient
from notifications.recipients.people import person_of
from notifications.recipients.user_fields import ALIASES, DEFAULTS, check_user
from notifications.recipients.users import delete_rows, know_roles, lock_people
from tenants import audit
from tenants.callers import Caller
from tenants.limits import default_region

MAX_USERS: Final = 10_000
_CHUNK: Final = 1_000
_KEY: Final = "external_user_id"


@dataclass(slots=True)
class SyncReport:
    """How many people became what; ``errors`` are messages by field, by the index in the call.

    ``deletion_skipped``: somebody's external id could not be read, so nobody can tell who is missing.
    """

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    deletion_skipped: bool = False
    errors: dict[int, Mapping[str, Sequence[str]]] = field(default_factory=dict)


# What was not given (null) stays as it is. Uniqueness of emails is judged here, under the lock of ``lock_people``.
_SYNC: Final = """
WITH batch AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS b(
        number int, id uuid, external_user_id text, email text, phone text, name text, roles text[], status text,
        metadata jsonb, locale text, time_zone text)
),
wanted AS MATERIALIZED (
    SELECT b.number, r.id AS known, coalesce(r.id, b.id) AS id, b.external_user_id,
        coalesce(b.email, r.email, '') AS email, lower(coalesce(b.email, r.email, '')) AS email_key,
        coalesce(b.phone, r.phone, '') AS phone, coalesce(b.name, r.name, '') AS name,
        coalesce(b.roles, r.roles, '{}') AS roles, coalesce(b.status, r.status, 'active') AS status,
        coalesce(b.metadata, r.metadata, '{}') AS metadata, coalesce(b.locale, r.locale, '') AS locale,
        coalesce(b.time_zone, r.time_zone, '') AS time_zone
    FROM batch AS b LEFT JOIN recipient AS r
        ON r.tenant_id = %(tenant)s AND r.deleted_at IS NULL AND r.external_user_id = b.external_user_id
        AND r.external_user_id <> ''
),
taken AS MATERIALIZED (
    SELECT w.number FROM wanted AS w JOIN recipient AS o
        ON o.tenant_id = %(tenant)s AND o.deleted_at IS NULL AND o.email_key = w.email_key AND o.id <> w.id
    WHERE w.email_key <> '' AND o.email <> ''
    UNION
    SELECT t.number FROM (
        SELECT number, row_number() OVER (PARTITION BY email_key ORDER BY number) AS nth
        FROM wanted WHERE email_key <> '') AS t
    WHERE t.nth > 1
),
created AS (
    INSERT INTO recipient (id, tenant_id, external_user_id, email, phone, name, roles, status, metadata, locale,
        time_zone, created_at, updated_at)
    SELECT id, %(tenant)s, external_user_id, email, phone, name, roles, status, metadata, locale, time_zone, now(),
        now()
    FROM wanted WHERE known IS NULL AND number NOT IN (SELECT number FROM taken)
    RETURNING id
),
updated AS (
    UPDATE recipient AS r SET email = w.email, phone = w.phone, name = w.name, roles = w.roles, status = w.status,
        metadata = w.metadata, locale = w.locale, time_zone = w.time_zone, updated_at = now()
    FROM wanted AS w
    -- By the key alone: on a table that has only just been filled, the planner takes one tenant's rows for a few.
    WHERE r.id = w.known AND w.number NOT IN (SELECT number FROM taken)
        AND (r.email, r.phone, r.name, r.roles::text[], r.status, r.metadata, r.locale, r.time_zone) IS DISTINCT FROM
            (w.email, w.phone, w.name, w.roles, w.status, w.metadata, w.locale, w.time_zone)
    RETURNING r.id
)
SELECT w.number, w.id, CASE WHEN w.number IN (SELECT number FROM taken) THEN 'taken'
    WHEN w.id IN (SELECT id FROM created) THEN 'created'
    WHEN w.id IN (SELECT id FROM updated) THEN 'updated' ELSE 'unchanged' END
FROM wanted AS w
"""


def sync_users(caller: Caller, *, users: Sequence[Any], delete_missing: bool = False) -> SyncReport:
    """Store people by their external id: new ones are created, known ones changed in the fields that were given.

    With ``delete_missing`` everybody who has an external id and is not named is deleted, and their emails are free for
    those who are. What is wrong with one person stops nobody else. One statement per thousand. Needs tenant scope.
    """
    tenant_id = caller.required_tenant_id()
    report = SyncReport()
    rows, named = _checked(users, default_region(tenant_id), report)
    lock_people()
    if delete_missing:
        report.deletion_skipped = named is None
        missing = [] if named is None else _missing(named)
        delete_rows(missing)
        report.deleted = len(missing)
    know_roles({role for row in rows for role in row.get("roles") or ()})
    created: list[UUID] = []
    taken = _write_all(rows, created, report)
    while taken and len(taken) < len(rows):  # whose email somebody further down has given up by now
        rows, taken = taken, _write_all(taken, created, report)
    report.errors.update({row["number"]: {"email": ["Belongs to another user."]} for row in taken})
    if created:
        hooks.registered([person_of(row) for row in Recipient.objects.filter(id__in=created).order_by("id")])
    audit.record(
        caller,
        "user.synchronised",
        "user",
        created=report.created,
        updated=report.updated,
        deleted=report.deleted,
        errors=len(report.errors),
    )
    return report


def _checked(
    users: Sequence[Any], region: str | None, report: SyncReport
) -> tuple[list[dict[str, Any]], set[str] | None]:
    """Return the rows that can be written, and every external id that was named; None if one can not be read."""
    rows: list[dict[str, Any]] = []
    named: set[str] | None = set()
    for number, user in enumerate(users):
        errors: dict[str, Sequence[str]] = {}
        values: dict[str, Any] = {}
        if not isinstance(user, Mapping):
            errors["user"] = ["Must be an object."]
        else:
            try:
                values = check_user(user, region)
            except InvalidInput as error:
                errors.update(error.errors)
        external_id = values.get(_KEY) or _raw_id(user)
        if not external_id:
            if isinstance(user, Mapping):
                errors.setdefault(_KEY, ["This field is required."])
            named = None
        elif named is not None:
            if external_id in named:
                errors.setdefault(_KEY, ["Stands in this call already."])
            named.add(external_id)
        if errors:
            report.errors[number] = errors
        else:
            rows.append({"number": number, "id": new_id(), **values})
    return rows, named


def _raw_id(user: Any) -> str:
    """Return the external id of a person about whom something else is wrong, so that they do not count as missing."""
    if not isinstance(user, Mapping):
        return ""
    given = next((user[key] for key in (_KEY, *ALIASES) if ALIASES.get(key, key) == _KEY and key in user), "")
    try:
        return str(check_user({_KEY: given})[_KEY])
    except InvalidInput:
        return ""


def _write_all(rows: Sequence[dict[str, Any]], created: list[UUID], report: SyncReport) -> list[dict[str, Any]]:
    """Write what can be written; return the rows whose email somebody has."""
    taken: set[int] = set()
    for chunk in _chunks(rows):
        for number, pk, result in _write(chunk):
            match result:
                case "taken":
                    taken.add(number)
                case "created":
                    report.created += 1
                    created.append(pk)
                case "updated":
                    report.updated += 1
                case _:
                    report.unchanged += 1
    return [row for row in rows if row["number"] in taken]


def _chunks(rows: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    left = iter(rows)
    while chunk := list(islice(left, _CHUNK)):
        yield chunk


def _write(rows: Sequence[Mapping[str, Any]]) -> list[tuple[int, UUID, str]]:
    absent = dict.fromkeys(DEFAULTS)
    with connection.cursor() as cursor:
        dumped = orjson.dumps([{**absent, **row} for row in rows]).decode()
        cursor.execute(_SYNC, {"rows": dumped, "tenant": current_tenant_id()})
        return [(number, pk, result) for number, pk, result in cursor.fetchall()]


def _missing(named: Collection[str]) -> list[Recipient]:
    everybody = Recipient.objects.filter(deleted_at=None).exclude(external_user_id="").only("id", _KEY)
    return [row for row in everybody.iterator(chunk_size=5_000) if row.external_user_id not in named]
