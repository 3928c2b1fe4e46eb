"""What campaigns look like on their way in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from notifications.campaigns import tallies
from notifications.campaigns.models import Campaign, CampaignRecipient
from notifications.campaigns.progress import as_json, progress_of
from notifications.campaigns.staging import Candidate
from notifications.campaigns.states import CampaignStatus, RecipientState, Segment
from notifications.recipients.models import MAX_ADDRESS
from notifications.records.models import NotificationRecord
from notifications.records.states import DeliveryState, Status
from tenants.api.fields import ClosedSerializer, JsonObject, SmallObject

EXAMPLE: Final = {
    "name": "Promo",
    "channel": "push",
    "content": {"title": "Offer {{name}}!"},
    "recipients": [{"recipient": "token1", "context": {"name": "User1"}}],
}
#: Fields of a recipient; all but one of the first two may be missing.
_RECIPIENT: Final[Mapping[str, int]] = {"recipient": MAX_ADDRESS, "user_id": 255, "locale": 35, "timezone": 64}
_MAX_ERRORS: Final = 50
_CLOCK: Final = r"^([01]\d|2[0-3]):[0-5]\d$"
_NO_CLOCK: Final[dict[str, Any]] = {"invalid": "Write it as 09:00."}


@extend_schema_field(
    {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                **{name: {"type": "string", "maxLength": most} for name, most in _RECIPIENT.items()},
                "context": {"type": "object", "additionalProperties": True},
            },
        },
    }
)
class Recipients(serializers.Field):  # type: ignore[type-arg]
    """A long list of recipients, looked at without a serializer for each."""

    def to_internal_value(self, data: Any) -> list[Candidate]:
        if not isinstance(data, list):
            raise serializers.ValidationError("Must be a list.")
        errors: dict[str, list[str]] = {}
        found = []
        for number, item in enumerate(data):
            item = {"recipient": item} if isinstance(item, str) else item
            if problem := _wrong(item):
                errors[f"{number}{problem[0]}"] = [problem[1]]
                if len(errors) >= _MAX_ERRORS:
                    break
            else:
                texts = {name: item.get(name) or "" for name in _RECIPIENT}
                found.append(Candidate(number, context=_context(item), **texts))
        if errors:
            raise serializers.ValidationError(errors)
        return found

    def to_representation(self, value: Sequence[Candidate]) -> list[str]:
        return [each.recipient for each in value]


def _context(item: Mapping[str, Any]) -> dict[str, Any]:
    context: dict[str, Any] = SmallObject().run_validation(item.get("context") or {})
    return context


def _wrong(item: Any) -> tuple[str, str] | None:
    if not isinstance(item, Mapping):
        return "", 'Must be an address or an object such as {"recipient": …, "context": {…}}.'
    for name, value in item.items():
        if name == "context":
            try:
                _context(item)
            except serializers.ValidationError as error:
                return ".context", str(error.detail[0] if isinstance(error.detail, list) else error.detail)
        elif name not in _RECIPIENT:
            return f".{name}", f"Unknown field; known: {', '.join(_RECIPIENT)}, context."
        elif value is not None and not isinstance(value, str):
            return f".{name}", "Must be a text."
        elif value and len(value) > _RECIPIENT[name]:
            return f".{name}", f"Has more than {_RECIPIENT[name]} characters."
        elif value and "\x00" in value:
            return f".{name}", "Null characters are not allowed."
    if not item.get("recipient") and not item.get("user_id"):
        return ".recipient", "This field is required."
    return None


class SegmentIn(ClosedSerializer):
    campaign = serializers.UUIDField(help_text="An earlier campaign on the same channel.")
    segment = serializers.ChoiceField(choices=Segment.choices)


class FilterIn(ClosedSerializer):
    """Who is meant by any of the lists and fits all conditions; `{"where": {}}` is everybody."""

    user_ids = serializers.ListField(child=serializers.CharField(max_length=255), required=False, max_length=10_000)
    external_user_ids = serializers.ListField(
        child=serializers.CharField(max_length=255), required=False, max_length=10_000
    )
    roles = serializers.ListField(child=serializers.CharField(max_length=255), required=False, max_length=100)
    emails = serializers.ListField(child=serializers.CharField(max_length=320), required=False, max_length=10_000)
    where = SmallObject(required=False, help_text='`{"locale": "de", "metadata.city": ["Cork", "Galway"]}`')

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError("Name somebody: user_ids, external_user_ids, roles, emails or where.")
        return attrs


class WindowIn(ClosedSerializer):
    """Hours in which may be sent; a window that ends before it starts goes on past midnight."""

    start = serializers.RegexField(_CLOCK, error_messages=_NO_CLOCK, help_text="`09:00`")
    end = serializers.RegexField(_CLOCK, error_messages=_NO_CLOCK, help_text="`18:00`, no longer in the window.")
    days = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=7),
        required=False,
        allow_empty=False,
        help_text="Monday is 1; every day if not given.",
    )


class FrequencyCapIn(ClosedSerializer):
    """Whoever got `max` messages of the category from other campaigns within `days` gets none."""

    max = serializers.IntegerField(min_value=1, max_value=1000)
    days = serializers.IntegerField(min_value=1, max_value=366)


class AbTestIn(ClosedSerializer):
    """The sample gets all variants; the rest, later, the one that won."""

    sample_percent = serializers.FloatField(min_value=0.1, max_value=99)
    winner_by = serializers.ChoiceField(choices=["opens", "clicks"])
    after_minutes = serializers.IntegerField(min_value=1, max_value=14 * 24 * 60)


class VariantIn(ClosedSerializer):
    #: So that variants that were read may be sent back, changed.
    ignored = frozenset({"template_version_id"})

    name = serializers.CharField(max_length=32)
    weight = serializers.IntegerField(min_value=1, max_value=1000, default=1)
    content = JsonObject(required=False)
    template = serializers.CharField(max_length=255, required=False)


class CampaignChange(ClosedSerializer):
    """What may change until it sends. Not used as a partial one: what is in it would be partial, too."""

    name = serializers.CharField(max_length=255, required=False)
    category = serializers.CharField(max_length=64, required=False, allow_blank=True)
    content = JsonObject(required=False, help_text="The words; their fields depend on the channel.")
    template = serializers.CharField(max_length=255, required=False, allow_blank=True, help_text="Or a template.")
    context = SmallObject(required=False, help_text="Values for all recipients; theirs win.")  # type: ignore[assignment]
    metadata = SmallObject(required=False, help_text="Yours: kept with each record, never sent.")
    variants = VariantIn(many=True, required=False, help_text="Or two to four variants.")
    ab_test = AbTestIn(required=False, allow_null=True)
    track = serializers.BooleanField(required=False, help_text="Opens and clicks of emails; `true` if not given.")
    timezone = serializers.CharField(max_length=64, required=False, help_text="Yours if not given.")
    window = WindowIn(required=False, allow_null=True)
    throttle_per_minute = serializers.IntegerField(min_value=1, max_value=10_000_000, required=False, allow_null=True)
    frequency_cap = FrequencyCapIn(required=False, allow_null=True)


class CampaignIn(CampaignChange):
    name = serializers.CharField(max_length=255)
    channel = serializers.CharField(max_length=32)
    recipients = Recipients(required=False)
    csv_job = serializers.UUIDField(required=False, help_text="Instead of recipients: the rows of an uploaded file.")
    segment = SegmentIn(required=False, help_text="Instead of recipients: those of an earlier campaign.")
    recipient_filter = FilterIn(required=False, help_text="Instead of recipients: people whom you have stored.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = [name for name in ("recipients", "csv_job", "segment", "recipient_filter") if name in attrs]
        if len(given) > 1:
            raise serializers.ValidationError({given[1]: [f"Give either {given[0]} or {given[1]}."]})
        return attrs


class RecipientsIn(ClosedSerializer):
    recipients = Recipients()


class ScheduleIn(ClosedSerializer):
    at = serializers.DateTimeField(help_text="A moment; with `in_recipient_timezone` what their clocks show.")
    in_recipient_timezone = serializers.BooleanField(required=False)


class DuplicateIn(ClosedSerializer):
    name = serializers.CharField(max_length=255, required=False)


class CampaignTestSendIn(ClosedSerializer):
    recipients = serializers.ListField(
        child=serializers.CharField(max_length=MAX_ADDRESS), allow_empty=False, max_length=10
    )
    context = SmallObject(required=False)  # type: ignore[assignment]
    variant = serializers.CharField(max_length=32, required=False)


class ProgressOut(serializers.Serializer[Any]):
    campaign_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=CampaignStatus.choices)
    total = serializers.IntegerField(help_text="Recipients, each address once.")
    staged = serializers.IntegerField(help_text="Not dealt with yet.")
    recorded = serializers.IntegerField(help_text="Became messages: the sum of the next five.")
    waiting = serializers.IntegerField()
    sent = serializers.IntegerField(help_text="The provider took them.")
    failed = serializers.IntegerField()
    suppressed = serializers.IntegerField(help_text="Suppressed after they were queued.")
    stopped = serializers.IntegerField(help_text="Cancelled after they were queued.")
    withheld = serializers.IntegerField(help_text="Suppressions, preferences, frequency cap.")
    rejected = serializers.IntegerField(help_text="Wrong address, missing value.")
    cancelled = serializers.IntegerField(help_text="Cancelled before they were queued.")
    duplicates = serializers.IntegerField()
    delivered = serializers.IntegerField()
    opened = serializers.IntegerField()
    clicked = serializers.IntegerField()
    bounced = serializers.IntegerField()
    complained = serializers.IntegerField()
    percent = serializers.FloatField()
    rate = serializers.FloatField(help_text="Messages that had their end, a second.")
    eta = serializers.DateTimeField(allow_null=True)
    staging = serializers.CharField()
    winner = serializers.CharField()
    next_turn_at = serializers.DateTimeField(allow_null=True)
    problem = serializers.CharField()
    launched_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)


class CampaignOut(serializers.ModelSerializer[Campaign]):
    source = serializers.SerializerMethodField()  # type: ignore[assignment]
    counts = serializers.SerializerMethodField()
    local_start = serializers.SerializerMethodField()

    class Meta:
        model = Campaign
        fields = [
            "id",
            "name",
            "channel",
            "status",
            "mode",
            "category",
            "content",
            "template",
            "template_version_id",
            "context",
            "metadata",
            "variants",
            "ab_test",
            "winner",
            "track",
            "source",
            "staging",
            "timezone",
            "scheduled_at",
            "local_start",
            "window",
            "throttle_per_minute",
            "frequency_cap",
            "counts",
            "problem",
            "created_by",
            "created_at",
            "updated_at",
            "launched_at",
            "paused_at",
            "finished_at",
        ]
        read_only_fields = fields

    def get_source(self, campaign: Campaign) -> dict[str, Any]:
        """Where its recipients come from."""
        return dict(campaign.source)

    def get_local_start(self, campaign: Campaign) -> str | None:
        """The time that the recipients' clocks show when it is sent to them, or null."""
        return campaign.local_start.replace(tzinfo=None).isoformat() if campaign.local_start else None

    @extend_schema_field({"type": "object", "additionalProperties": {"type": "integer"}})
    def get_counts(self, campaign: Campaign) -> dict[str, int]:
        """The numbers of its progress."""
        known: Mapping[UUID, tallies.Totals] = self.context.get("totals", {})
        numbers = as_json(progress_of(campaign, known.get(campaign.id)))
        return {name: value for name, value in numbers.items() if type(value) is int}


class CampaignRecipientOut(serializers.ModelSerializer[CampaignRecipient]):
    recipient = serializers.CharField(source="address", read_only=True)
    state = serializers.ChoiceField(choices=RecipientState.choices, read_only=True)
    status = serializers.SerializerMethodField()
    delivery_state = serializers.SerializerMethodField()
    reason = serializers.SerializerMethodField()

    class Meta:
        model = CampaignRecipient
        fields = [
            "id",
            "number",
            "recipient",
            "user_id",
            "locale",
            "timezone",
            "context",
            "state",
            "reason",
            "variant",
            "record_id",
            "status",
            "delivery_state",
            "recorded_at",
            "delivered_at",
            "opened_at",
            "clicked_at",
            "bounced_at",
            "complained_at",
        ]
        read_only_fields = fields

    def _record(self, row: CampaignRecipient) -> NotificationRecord | None:
        records: Mapping[UUID, NotificationRecord] = self.context["records"]
        return records.get(row.record_id) if row.record_id else None

    @extend_schema_field(serializers.ChoiceField(choices=Status.choices, allow_null=True))
    def get_status(self, row: CampaignRecipient) -> str | None:
        """Of its record, or null while it has none."""
        record = self._record(row)
        return str(record.status) if record else None

    @extend_schema_field(serializers.ChoiceField(choices=DeliveryState.choices, allow_null=True))
    def get_delivery_state(self, row: CampaignRecipient) -> str | None:
        """Of its record, or null while it has none."""
        record = self._record(row)
        return str(record.delivery_state) if record else None

    def get_reason(self, row: CampaignRecipient) -> str:
        """Why it was not sent: the campaign's reason, or the record's failure reason."""
        record = self._record(row)
        return row.reason or (record.failure_reason if record else "")


class ReportCounts(serializers.Serializer[Any]):
    sent = serializers.IntegerField()
    failed = serializers.IntegerField()
    suppressed = serializers.IntegerField()
    delivered = serializers.IntegerField()
    opened = serializers.IntegerField()
    clicked = serializers.IntegerField()
    bounced = serializers.IntegerField()
    complained = serializers.IntegerField()
    rates = serializers.DictField(child=serializers.FloatField(), help_text="In percent of what was sent.")


class VariantReport(ReportCounts):
    name = serializers.CharField()
    winner = serializers.BooleanField()


class ReportOut(ReportCounts):
    id = serializers.UUIDField()
    name = serializers.CharField()
    status = serializers.ChoiceField(choices=CampaignStatus.choices)
    recipients = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    rejected = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    waiting = serializers.IntegerField()
    staged = serializers.IntegerField()
    failures = serializers.DictField(child=serializers.IntegerField())
    suppressions = serializers.DictField(child=serializers.IntegerField())
    rejections = serializers.DictField(child=serializers.IntegerField())
    variants = VariantReport(many=True)
    tracked = serializers.BooleanField()
    csv = serializers.CharField(help_text="Where every recipient is listed.")
