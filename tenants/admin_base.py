"""What every room's admin pages are built from."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from unfold.admin import ModelAdmin

from tenants import audit
from tenants.callers import Caller


class ReadOnlyAdmin(ModelAdmin):  # type: ignore[misc]
    """Rows to look at: they are made, changed and ended elsewhere."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class AuditedAdmin(ModelAdmin):  # type: ignore[misc]
    """Rows that staff may change; each change is written to the audit log. Nothing is deleted here."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        before = {name: form.initial.get(name) for name in form.changed_data}
        super().save_model(request, obj, form, change)
        after = {name: form.cleaned_data.get(name) for name in form.changed_data}
        staff = Caller(None, "user", str(request.user.pk), str(request.user))
        kind = self.model._meta.model_name
        audit.record(
            staff,
            f"{kind}.{'updated' if change else 'created'}",
            kind,
            obj.pk,
            before=_plain(before),
            after=_plain(after),
        )


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value if isinstance(value, dict | list | bool) else str(value) for name, value in values.items()}
