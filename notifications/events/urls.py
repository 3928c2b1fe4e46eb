"""Addresses of events and rules."""

from notifications.events.api import catalogue, dead_letters, events, webhook
from notifications.events.rules import api as rules
from tenants.api.routing import route

urlpatterns = [
    route("api/v1/events", events.EventList, "events"),
    route("api/v1/events/batch", events.EventBatch, "events-batch"),
    route("api/v1/events/catalogue", catalogue.Catalogue, "events-catalogue"),
    route("api/v1/events/catalogue/<str:event_type>", catalogue.CatalogueEntry, "events-catalogue-entry"),
    route("api/v1/events/dead-letters", dead_letters.DeadLetterList, "dead-letters"),
    route("api/v1/events/dead-letters/<uuid:letter_id>", dead_letters.DeadLetterDetail, "dead-letter"),
    route("api/v1/events/dead-letters/<uuid:letter_id>/replay", dead_letters.DeadLetterReplay, "dead-letter-replay"),
    route("api/v1/events/sources", webhook.SourceList, "event-sources"),
    route("api/v1/events/sources/<uuid:source_id>", webhook.SourceDetail, "event-source"),
    route("api/v1/events/<uuid:event_id>", events.EventDetail, "event"),
    route("api/v1/rules", rules.RuleList, "rules"),
    route("api/v1/rules/validate", rules.RuleValidate, "rules-validate"),
    route("api/v1/rules/cancel", rules.RuleCancel, "rules-cancel"),
    route("api/v1/rules/<uuid:rule_id>", rules.RuleDetail, "rule"),
    route("api/v1/rules/<uuid:rule_id>/test", rules.RuleTest, "rule-test"),
    route("api/v1/rules/<uuid:rule_id>/steps", rules.RuleSteps, "rule-steps"),
    route("api/notifications/webhook/", webhook.Webhook, "webhook"),
]
