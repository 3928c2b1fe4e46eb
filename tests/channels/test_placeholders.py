from __future__ import annotations

import html
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.channels.base import ContentError
from notifications.channels.placeholders import compile_text


def render(source: str, **context: Any) -> str:
    return compile_text(source, "body").render(context)


@pytest.mark.parametrize(
    ("source", "context", "result"),
    [
        ("", {}, ""),
        ("nothing to fill", {}, "nothing to fill"),
        ("{{name}}", {"name": "Ada"}, "Ada"),
        ("Hi {{ name }}!", {"name": "Ada"}, "Hi Ada!"),
        ("{{  name  }}{{name}}", {"name": "Ada"}, "AdaAda"),
        ("{{ user.name }}", {"user": {"name": "Ada"}}, "Ada"),
        ("{{ user.name }}", {"user.name": "flat", "user": {"name": "deep"}}, "flat"),
        ("{{ items.1.title }}", {"items": [{"title": "a"}, {"title": "b"}]}, "b"),
        ("{{Candidate Name}}", {"Candidate Name": "Ada"}, "Ada"),
        ("{{ first-name }}", {"first-name": "Ada"}, "Ada"),
        ("{{ имя }} {{ 名前 }}", {"имя": "Ада", "名前": "エイダ"}, "Ада エイダ"),
        ("{{ a }}", {"a": ""}, ""),
        ("{{ a }}", {"a": 0}, "0"),
        ("{{ a }}", {"a": 1.5}, "1.5"),
        ("{{ a }}", {"a": True}, "true"),
        ("{{ a }}", {"a": Decimal("1.10")}, "1.10"),
        ("{{ a }}", {"a": date(2026, 1, 2)}, "2026-01-02"),
        ("{{ a }}", {"a": UUID(int=1)}, "00000000-0000-0000-0000-000000000001"),
        ("@media{p{color:red}} { } }} {x}", {}, "@media{p{color:red}} { } }} {x}"),
        ("{{ a }}", {"a": "{{ b }}", "b": "again"}, "{{ b }}"),
        ("{{ a }}{{ b }}", {"a": "{{", "b": " a }}"}, "{{ a }}"),
    ],
)
def test_rendering(source: str, context: dict[str, Any], result: str) -> None:
    assert compile_text(source, "body").render(context) == result


@pytest.mark.parametrize(
    ("source", "context", "name"),
    [
        ("{{ name }}", {}, "name"),
        ("{{ name }}", {"name": None}, "name"),
        ("{{ user.name }}", {"user": {}}, "user.name"),
        ("{{ user.name }}", {"user": None}, "user.name"),
        ("{{ user.name }}", {"user": "text"}, "user.name"),
        ("{{ items.2 }}", {"items": [1, 2]}, "items.2"),
        ("{{ items.99999999999999999999 }}", {"items": [1]}, "items.99999999999999999999"),
        ("{{ items.٠ }}", {"items": [1]}, "items.٠"),
    ],
)
def test_missing_values_are_named(source: str, context: dict[str, Any], name: str) -> None:
    with pytest.raises(ContentError) as caught:
        compile_text(source, "subject").render(context)
    assert caught.value.placeholder == name
    assert caught.value.field == "subject"
    assert caught.value.message == f"Missing value for placeholder '{name}' in subject."


@pytest.mark.parametrize("value", [{}, {"a": 1}, [], [1], (1,), object(), b"bytes", print])
def test_values_that_are_not_text(value: object) -> None:
    with pytest.raises(ContentError) as caught:
        render("{{ a }}", a=value)
    assert caught.value.placeholder == "a"


@pytest.mark.parametrize(
    ("source", "position"),
    [
        ("{{ }}", 1), ("x{{}}", 2), ("{{ a | b }}", 1), ("{{ a.b( ) }}", 1), ("{{{ a }}}", 1), ("ab {{ a", 4),
        ("{{ a }} {{ b }", 9), ("{{ a..b }}", 1), ("{{ .a }}", 1), ("{{ a. }}", 1), ("{{ 'a' }}", 1), ("{{ a\nb }}", 1),
        ("{{ a {{ b }} }}", 1), ("{{ a[0] }}", 1), ("{{ a - }}", 1), ("{{", 1),
    ],
)  # fmt: skip
def test_malformed_placeholders_are_refused_with_their_position(source: str, position: int) -> None:
    with pytest.raises(ContentError) as caught:
        compile_text(source, "body")
    assert caught.value.field == "body"
    assert f"position {position} " in caught.value.message


class _Temptation:
    secret = "attribute"

    def get(self, key: str) -> str:
        return "method"


@pytest.mark.parametrize("name", ["a.secret", "a.get", "a.__class__", "a.__init__.__globals__", "a.0"])
def test_attributes_are_never_looked_at(name: str) -> None:
    with pytest.raises(ContentError):
        render("{{ " + name + " }}", a=_Temptation())


@given(st.text(max_size=200), st.text(max_size=50), st.text(max_size=50))
def test_values_are_escaped_and_never_read_again(value: str, before: str, after: str) -> None:
    before, after = before.replace("{", ""), after.replace("{", "")
    text = compile_text(before + "{{ a }}" + after, "html")
    assert text.render({"a": value}, html.escape) == before + html.escape(value) + after
    assert text.render({"a": value}) == before + value + after


@given(st.text(st.sampled_from("{} a.-|1é\n"), max_size=60))
def test_any_source_compiles_or_is_refused(source: str) -> None:
    try:
        text = compile_text(source, "body")
    except ContentError:
        return
    values = dict.fromkeys(text.placeholders, "value")
    if not text.placeholders:
        assert text.render(values) == source
    else:
        assert "value" in text.render(values)


def test_long_names_do_not_take_long() -> None:
    for source in ("{{ " + "a " * 200_000 + "| }}", "{{ " + "a-" * 200_000 + " }}", "{{" * 100_000):
        with pytest.raises(ContentError) as caught:
            compile_text(source, "body")
        assert len(caught.value.message) < 200
