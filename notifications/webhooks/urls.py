"""Addresses of webhooks."""

from notifications.webhooks import api
from tenants.api.routing import route

_ENDPOINT = "api/v1/webhooks/endpoints/<uuid:endpoint_id>"

urlpatterns = [
    route("api/v1/webhooks/event-types", api.EventTypes, "webhook-event-types"),
    route("api/v1/webhooks/endpoints", api.EndpointList, "webhook-endpoints"),
    route(_ENDPOINT, api.EndpointDetail, "webhook-endpoint"),
    route(f"{_ENDPOINT}/rotate-secret", api.EndpointRotate, "webhook-endpoint-rotate"),
    route(f"{_ENDPOINT}/test", api.EndpointTest, "webhook-endpoint-test"),
    route(f"{_ENDPOINT}/replay", api.EndpointReplay, "webhook-endpoint-replay"),
    route("api/v1/webhooks/deliveries", api.DeliveryList, "webhook-deliveries"),
    route("api/v1/webhooks/deliveries/<uuid:delivery_id>", api.DeliveryDetail, "webhook-delivery"),
    route("api/v1/webhooks/deliveries/<uuid:delivery_id>/replay", api.DeliveryReplay, "webhook-delivery-replay"),
    route("api/v1/projects/me/webhook", api.ProjectWebhook, "project-webhook"),
]
