"""What drf-spectacular makes of the API's description (``docs/openapi.yaml``)."""

from __future__ import annotations

from typing import Any, Final

OPENAPI: Final[dict[str, Any]] = {
    "TITLE": "Notification service",
    "DESCRIPTION": "One service, many companies, every channel. Errors are always "
    '`{"detail", "code"}`, with `"errors": {field: [...]}` added for validation.',
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": r"/api(/v1)?",
    "GET_LIB_DOC_EXCLUDES": "tenants.api.schema.undescribed",
    # Names of choices that several serializers share; without one their components would be called by numbers.
    "ENUM_NAME_OVERRIDES": {
        "ChatMessageType": "messaging.models.MessageType",
        "ChatSendableType": "messaging.api.shapes.SENDABLE",
        "PresenceStatus": "messaging.services.presence.STATUSES",
        "RecipientStatus": "notifications.recipients.models.RecipientStatus",
        "RecordStatus": "notifications.records.states.Status",
        "WebhookDeliveryStatus": "notifications.webhooks.models.DeliveryStatus",
        "CredentialStatus": "notifications.credentials.models.CredentialStatus",
        "Lane": "notifications.records.states.Lane",
        "TemplateKind": "notifications.templates.models.Kind",
        "ConversationKind": "messaging.models.ConversationKind",
        "Priority": "notifications.inbox.models.Priority",
        "LookupSource": ["system", "tenant"],
        "BatchStatus": "notifications.batches.models.BatchStatus",
        "JobStatus": "notifications.batches.models.JobStatus",
        "ApiKeyStatus": "tenants.models.api_key.ApiKeyStatus",
        "EventStatus": "notifications.events.models.EventStatus",
        "TemplateSource": "notifications.templates.models.Source",
        "StepStatus": "notifications.events.rules.models.StepStatus",
        "TenantStatus": "tenants.models.tenant.TenantStatus",
        "CampaignStatus": "notifications.campaigns.states.CampaignStatus",
    },
}
