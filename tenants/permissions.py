"""Who may do what: one table of roles and permissions."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Permission(StrEnum):
    """Something that a caller may do. API keys carry these as scopes."""

    NOTIFICATIONS_READ = "notifications:read"
    NOTIFICATIONS_WRITE = "notifications:write"
    CREDENTIALS_READ = "credentials:read"
    CREDENTIALS_MANAGE = "credentials:manage"
    TEMPLATES_READ = "templates:read"
    TEMPLATES_MANAGE = "templates:manage"
    CAMPAIGNS_READ = "campaigns:read"
    CAMPAIGNS_MANAGE = "campaigns:manage"
    EVENTS_READ = "events:read"
    EVENTS_WRITE = "events:write"
    RULES_MANAGE = "rules:manage"
    WEBHOOKS_MANAGE = "webhooks:manage"
    USERS_READ = "users:read"
    USERS_MANAGE = "users:manage"
    ANALYTICS_READ = "analytics:read"
    AUDIT_READ = "audit:read"
    KEYS_MANAGE = "keys:manage"
    PROJECT_READ = "project:read"
    PROJECT_MANAGE = "project:manage"
    #: What every signed-in person may do with what is theirs: read their inbox, chat, change their preferences.
    SELF = "self"
    PLATFORM_READ = "platform:read"
    PLATFORM_MANAGE = "platform:manage"


_PLATFORM = frozenset({Permission.PLATFORM_READ, Permission.PLATFORM_MANAGE})
_TENANT = frozenset(Permission) - _PLATFORM
_SENDER = frozenset(
    {
        Permission.SELF,
        Permission.NOTIFICATIONS_READ,
        Permission.NOTIFICATIONS_WRITE,
        Permission.TEMPLATES_READ,
        Permission.CAMPAIGNS_READ,
        Permission.EVENTS_READ,
        Permission.EVENTS_WRITE,
        Permission.USERS_READ,
        Permission.ANALYTICS_READ,
        Permission.PROJECT_READ,
    }
)

#: ``root-admin`` is what the Auth Service calls an owner.
ROLE_PERMISSIONS: Final[Mapping[str, frozenset[Permission]]] = {
    "owner": _TENANT,
    "root-admin": _TENANT,
    "admin": _TENANT,
    "manager": _SENDER
    | {
        Permission.TEMPLATES_MANAGE,
        Permission.CAMPAIGNS_MANAGE,
        Permission.RULES_MANAGE,
        Permission.USERS_MANAGE,
        Permission.CREDENTIALS_READ,
    },
    "hr": _SENDER | {Permission.TEMPLATES_MANAGE, Permission.CAMPAIGNS_MANAGE, Permission.USERS_MANAGE},
    "employee": frozenset({Permission.SELF}),
    "customer": frozenset({Permission.SELF}),
}

PLATFORM_ROLE_PERMISSIONS: Final[Mapping[str, frozenset[Permission]]] = {
    "super_admin": _PLATFORM | {Permission.SELF},
    "support": frozenset({Permission.PLATFORM_READ, Permission.SELF}),
    "billing": frozenset({Permission.PLATFORM_READ, Permission.SELF}),
}

#: What an API key may be given: everything of a tenant but what belongs to a signed-in person, and making more keys.
API_KEY_SCOPES: Final[frozenset[Permission]] = _TENANT - {Permission.SELF, Permission.KEYS_MANAGE}


def permissions_of_role(role: str) -> frozenset[Permission]:
    """Return what a tenant role may do; an unknown role may do what every signed-in person may."""
    return ROLE_PERMISSIONS.get(role, frozenset({Permission.SELF}))
