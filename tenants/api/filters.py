"""Filters of lists that several rooms have."""

from __future__ import annotations

from typing import Any

import django_filters
from django import forms


class _TrueOrFalse(forms.NullBooleanField):
    """``true`` or ``false`` in any case; Django's own field takes everything else for a question not asked."""

    widget = forms.TextInput

    def to_python(self, value: Any) -> bool | None:  # type: ignore[override] # as NullBooleanField has it
        text = "" if value is None else str(value).strip().lower()
        if text not in ("", "true", "false"):
            raise forms.ValidationError("Must be true or false.")
        return text == "true" if text else None


class TrueOrFalseFilter(django_filters.BooleanFilter):  # type: ignore[misc]
    """``?read=true``; anything but ``true`` and ``false`` is refused by the filter's name."""

    field_class = _TrueOrFalse
