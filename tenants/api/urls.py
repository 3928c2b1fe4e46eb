"""Addresses of the tenants room."""

from tenants.api.accounts import LoginView, LogoutView, MeView, RefreshView, RegisterView
from tenants.api.api_keys import ApiKeyListView, ApiKeyView, RotateApiKeyView
from tenants.api.audit import AuditListView
from tenants.api.projects import ProjectView
from tenants.api.routing import route
from tenants.api.signing_keys import JwksView

urlpatterns = [
    route(".well-known/jwks.json", JwksView, "jwks"),
    route("api/v1/auth/register", RegisterView, "auth-register"),
    route("api/v1/auth/login", LoginView, "auth-login"),
    route("api/v1/auth/refresh", RefreshView, "auth-refresh"),
    route("api/v1/auth/logout", LogoutView, "auth-logout"),
    route("api/v1/auth/me", MeView, "auth-me"),
    route("api/v1/projects/me", ProjectView, "project"),
    route("api/v1/projects/me/api-keys", ApiKeyListView, "api-keys"),
    route("api/v1/projects/me/api-keys/<uuid:key_id>", ApiKeyView, "api-key"),
    route("api/v1/projects/me/api-keys/<uuid:key_id>/rotate", RotateApiKeyView, "api-key-rotate"),
    route("api/v1/audit", AuditListView, "audit"),
]
