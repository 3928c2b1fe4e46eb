"""How tenants want to react to known events, remembered for a moment: every event asks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from notification_service.lib.scope import current_tenant_id
from notifications.events.models import EventSetting

_SECONDS: Final = 2.0
_known: dict[UUID, tuple[float, Mapping[str, EventSetting]]] = {}


def settings_by_type() -> Mapping[str, EventSetting]:
    """Return the tenant's own settings by event type, as of two seconds ago at most. Needs the tenant's scope."""
    tenant_id = current_tenant_id()
    until, found = _known.get(tenant_id, (0.0, {}))
    if until < time.monotonic():
        found = {setting.type: setting for setting in EventSetting.objects.all()}
        _known[tenant_id] = (time.monotonic() + _SECONDS, found)
    return found


def forget_settings(tenant_id: UUID) -> None:
    """Look them up again at the next event."""
    _known.pop(tenant_id, None)
