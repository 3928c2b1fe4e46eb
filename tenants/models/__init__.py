"""State of the tenants room: companies, people, keys, the audit log."""

from tenants.models.api_key import ApiKey
from tenants.models.audit import AuditLog
from tenants.models.people import Membership, PlatformRole, RefreshToken, Role, User
from tenants.models.signing_key import SigningKey
from tenants.models.tenant import Plan, Tenant, TenantStatus

__all__ = [
    "ApiKey",
    "AuditLog",
    "Membership",
    "Plan",
    "PlatformRole",
    "RefreshToken",
    "Role",
    "SigningKey",
    "Tenant",
    "TenantStatus",
    "User",
]
