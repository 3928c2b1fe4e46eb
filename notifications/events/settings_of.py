"""How tenants want to react to known events, remembered for a moment: every event asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from notification_service.lib.remembered import Remembered
from notification_service.lib.scope import current_tenant_id
from notifications.events.models import EventSetting

_known: Final = Remembered[Mapping[str, EventSetting]]("event-settings", seconds=2.0)


def settings_by_type() -> Mapping[str, EventSetting]:
    """Return the tenant's own settings by event type. Needs the tenant's scope."""
    return _known.get(current_tenant_id(), _looked_up)


def settings_changed(tenant_id: UUID) -> None:
    """Have them looked up again at the next event: they change in this transaction."""
    _known.change(tenant_id)


def _looked_up() -> Mapping[str, EventSetting]:
    return {setting.type: setting for setting in EventSetting.objects.all()}
