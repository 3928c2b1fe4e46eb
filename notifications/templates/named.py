"""Fields of the API in which callers name what lists offer: only what the tenant's lists have is taken."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from notification_service.lib.errors import InvalidInput
from notifications.templates import lookups


class LocaleField(serializers.CharField):
    """A language that is known, such as ``pt-BR``. Needs the tenant's scope."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": 35, **options})

    def to_internal_value(self, data: Any) -> str:
        tag: str = super().to_internal_value(data)
        if tag:
            try:
                lookups.check_locale(tag)
            except InvalidInput as error:
                raise serializers.ValidationError(error.errors["locale"]) from None
        return tag


class ListedField(serializers.ChoiceField):
    """A value of ours that the tenant has not hidden from its list. Needs the tenant's scope."""

    def __init__(self, type_: str, **options: Any) -> None:
        super().__init__(**options)
        self._type = type_

    def to_internal_value(self, data: Any) -> Any:
        value = super().to_internal_value(data)
        try:
            lookups.check(self._type, str(value))
        except InvalidInput as error:
            raise serializers.ValidationError(error.errors[self._type]) from None
        return value
