"""What an email is said to be sure of at a glance is what happens when it is filled in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.channels.base import ContentError
from notifications.channels.email import MAX_BODY, MAX_SUBJECT
from notifications.channels.registry import channels

EMAIL = channels.get("email")
_values = st.one_of(st.text(max_size=40), st.none(), st.integers(), st.lists(st.text(), max_size=2), st.just("\ud800"))
_contents = st.fixed_dictionaries(
    {"subject": st.sampled_from(["Hi {{name}}", "Hi", "{{name}} {{name}}: {{title}}", "x" * 990 + "{{name}}"])},
    optional={
        "text": st.sampled_from(["Dear {{name}}", "{{user.name}}", "{{title}}" * 20]),
        "html": st.sampled_from(["<p>{{name}}</p>", "<b>{{title}}</b>"]),
        "reply_to": st.sampled_from(["{{name}}", "a@example.com"]),
        "headers": st.just({"X-Name": "{{name}}"}),
    },
)


@settings(deadline=None)
@given(_contents, st.dictionaries(st.sampled_from(["name", "title", "user"]), _values))
def test_whatever_is_sure_renders(content: dict[str, Any], context: dict[str, Any]) -> None:
    compiled = EMAIL.compile(EMAIL.validate(content))
    if compiled.surely_renders(context):
        compiled.render(context)


@pytest.mark.parametrize(
    ("content", "longest"),
    [
        ({"subject": "{{name}}"}, MAX_SUBJECT),
        ({"subject": "{{name}}{{name}}"}, MAX_SUBJECT // 2),
        ({"html": "<p>{{name}}</p>"}, MAX_BODY // 6),
    ],
)
def test_what_may_be_too_long_is_looked_at_closely(content: dict[str, str], longest: int) -> None:
    compiled = EMAIL.compile(EMAIL.validate(content))
    assert compiled.surely_renders({"name": "Ada"})
    assert not compiled.surely_renders({"name": '"' * (longest + 1)})
    with pytest.raises(ContentError):
        compiled.render({"name": '"' * (longest + 1)})


def test_the_ordinary_event_is_sure() -> None:
    compiled = EMAIL.compile({"subject": "New task: {{title}}", "text": "Hello {{name}},\n\n{{title}}"})
    assert compiled.surely_renders({"name": "Zoë", "title": "Offer"})
    assert not compiled.surely_renders({"name": "Zoë"})
    assert not compiled.surely_renders({"name": "Zoë", "title": 7})  # certain for whoever looks closely
