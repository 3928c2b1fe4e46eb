"""Addresses of credentials."""

from notifications.credentials import api
from tenants.api.routing import route

urlpatterns = [
    route("api/notifications/credentials/", api.CredentialList, "credentials"),
    route("api/notifications/credentials/<uuid:credential_id>/", api.CredentialDetail, "credential"),
    route("api/notifications/credentials/<uuid:credential_id>/test/", api.CredentialTest, "credential-test"),
]
