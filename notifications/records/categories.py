"""What a message is about: the category that its sender names, else that of its template.

And the one list of them: those that the tenant has stored, over those that the service knows from the beginning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from notifications.recipients.models import Category
from notifications.templates.lookups import Value
from notifications.templates.models import MessageTemplateVersion

PLACE: Final = "/api/v1/categories"


def categorised(metadata: Mapping[str, Any], category: str) -> dict[str, Any]:
    """Return the metadata of a message; with its template's category, unless they name one (or none) themselves."""
    return {**metadata, "category": category} if category and "category" not in metadata else dict(metadata)


def category_of_version(version_id: UUID | None) -> str:
    """Return the category of the template that a version is of, or nothing. Needs the tenant's scope."""
    if version_id is None:
        return ""
    named = MessageTemplateVersion.objects.filter(id=version_id).values_list("template__category", flat=True)
    return named.first() or ""


def stored_categories() -> list[Value]:
    """Return the tenant's categories as values of the lookup type ``category``. Needs the tenant's scope."""
    return [
        Value(
            "category", each.key, each.name or each.key, each.description, source="tenant", place=f"{PLACE}/{each.id}"
        )
        for each in Category.objects.all()
    ]
