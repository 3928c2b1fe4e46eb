"""Addresses of the tenants room."""

from tenants.api import accounts, api_keys, audit, branding, projects, signing_keys
from tenants.api.routing import route

urlpatterns = [
    route(".well-known/jwks.json", signing_keys.Jwks, "jwks"),
    route("api/v1/auth/register", accounts.Register, "auth-register"),
    route("api/v1/auth/login", accounts.Login, "auth-login"),
    route("api/v1/auth/refresh", accounts.Refresh, "auth-refresh"),
    route("api/v1/auth/logout", accounts.Logout, "auth-logout"),
    route("api/v1/auth/me", accounts.Me, "auth-me"),
    route("api/v1/projects/me", projects.ProjectDetail, "project"),
    route("api/v1/projects/me/branding", branding.BrandingDetail, "branding"),
    route("api/v1/projects/me/api-keys", api_keys.ApiKeyList, "api-keys"),
    route("api/v1/projects/me/api-keys/<uuid:key_id>", api_keys.ApiKeyDetail, "api-key"),
    route("api/v1/projects/me/api-keys/<uuid:key_id>/rotate", api_keys.ApiKeyRotate, "api-key-rotate"),
    route("api/v1/audit", audit.AuditList, "audit"),
]
