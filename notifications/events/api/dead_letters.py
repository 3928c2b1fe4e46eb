"""``/api/v1/events/dead-letters``: messages that could not be taken in, and taking them in again."""

from __future__ import annotations

from uuid import UUID

import django_filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from notifications.events import dead_letters
from notifications.events.api.events import EventAccepted, accepted_out
from notifications.events.models import DeadLetter
from tenants.api.filters import TrueOrFalseFilter
from tenants.api.views import TenantView
from tenants.permissions import Permission


class DeadLetterOut(serializers.ModelSerializer[DeadLetter]):
    class Meta:
        model = DeadLetter
        fields = [
            "id",
            "topic",
            "partition",
            "offset",
            "key",
            "code",
            "reason",
            "shown",
            "created_at",
            "replayed_at",
            "event_id",
        ]
        read_only_fields = fields


class DeadLetterFilter(django_filters.FilterSet):  # type: ignore[misc]
    """``?topic=hr-events&code=bad_payload&replayed=false``."""

    topic = django_filters.CharFilter()
    code = django_filters.CharFilter()
    replayed = TrueOrFalseFilter(field_name="replayed_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = DeadLetter
        fields: list[str] = []


@extend_schema(tags=["events"])
class DeadLetterList(TenantView):
    """Messages of the tenant that could not be taken in."""

    permissions = Permission.EVENTS_READ
    filterset_class = DeadLetterFilter

    @extend_schema(operation_id="events_dead_letters_list", responses=DeadLetterOut(many=True), filters=True)
    def get(self, request: Request) -> Response:
        return self.paginated(self.filtered(dead_letters.list_dead_letters()), DeadLetterOut)


@extend_schema(tags=["events"])
class DeadLetterDetail(TenantView):
    """One of them."""

    permissions = Permission.EVENTS_READ

    @extend_schema(operation_id="events_dead_letters_retrieve", responses=DeadLetterOut)
    def get(self, request: Request, letter_id: UUID) -> Response:
        return Response(DeadLetterOut(dead_letters.get_dead_letter(letter_id)).data)


@extend_schema(tags=["events"])
class DeadLetterReplay(TenantView):
    """Take a message in again, once what was wrong is put right."""

    permissions = Permission.EVENTS_WRITE

    @extend_schema(operation_id="events_dead_letters_replay", request=None, responses=EventAccepted)
    def post(self, request: Request, letter_id: UUID) -> Response:
        return Response(accepted_out(dead_letters.replay(self.caller, letter_id)))
