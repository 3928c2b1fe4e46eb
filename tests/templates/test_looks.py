"""Layouts, branding, MJML, style sheets and languages: what a mail looks like in the end."""

from __future__ import annotations

from typing import Any

import pytest

from notifications.channels.base import ContentError
from notifications.templates import markup
from tests.conftest import Persona
from tests.templates.conftest import TEMPLATES, Make

BRANDING = "/api/v1/projects/me/branding"
LAYOUT = {
    "name": "Plain layout",
    "slug": "plain",
    "channel": "email",
    "kind": "layout",
    "content": {"html": "<html><body>[{{ content }}] {{ brand.name }}</body></html>"},
}


def preview(persona: Persona, key: str, **body: Any) -> dict[str, Any]:
    answer = persona.client.post(f"{TEMPLATES}{key}/preview/", body)
    assert answer.status_code == 200, answer.json()
    return dict(answer.json()["rendered"])


def test_a_fragment_is_shown_in_the_tenants_colours(admin: Persona, make: Make) -> None:
    look = {
        "name": "Acme & Sons",
        "logo_url": "https://acme.example/logo.png",
        "brand_color": "#ffee00",
        "footer": "You get this because you work here.",
        "address": "1 Main Street, Springfield",
        "support_email": "help@acme.example",
    }
    answer = admin.client.put(BRANDING, look)
    assert answer.status_code == 200, answer.json()
    assert answer.json() == {**answer.json(), **look}
    make(content={"subject": "{{ brand.name }}", "html": '<p><a class="button" href="https://x.example">Go</a></p>'},
         placeholders=[])  # fmt: skip
    mail = preview(admin, "interview-invite")
    assert mail["subject"] == "Acme & Sons"
    for part in ('src="https://acme.example/logo.png"', "Acme &amp; Sons", "#ffee00", "1 Main Street", "@media"):
        assert part in mail["html"], part
    assert "color: #000000" in mail["html"], "black can be read on yellow, white can not"
    assert "{{" not in mail["html"]
    assert "You get this because you work here." in mail["text"]
    admin.client.patch(BRANDING, {"brand_color": "#112233", "logo_url": ""})
    changed = preview(admin, "interview-invite")["html"]
    assert "#112233" in changed
    assert "#ffee00" not in changed
    assert "<img" not in changed


@pytest.mark.parametrize(
    "look", [{"brand_color": "red"}, {"logo_url": "javascript:x"}, {"locale": "!"}, {"support_email": "x"}], ids=str
)
def test_looks_that_are_none(admin: Persona, look: dict[str, str]) -> None:
    answer = admin.client.put(BRANDING, look)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, list(look))


def test_branding_is_nobody_elses_business(admin: Persona, stranger: Persona) -> None:
    admin.client.put(BRANDING, {"footer": "Acme only"})
    assert stranger.client.get(BRANDING).json()["footer"] == ""


@pytest.mark.parametrize(
    ("content", "layout", "in_layout"),
    [
        ({"html": "<p>x</p>"}, "", True),
        ({"body": "<p>x</p>"}, "", True),
        ({"html": "<p>x</p>"}, "none", False),
        ({"html": "<!DOCTYPE html><html><body>x</body></html>"}, "", False),
        ({"body": "plain x"}, "", False),
        ({"text": "plain x"}, "", False),
    ],
    ids=str,
)
def test_which_mails_are_shown_in_a_layout(
    admin: Persona, make: Make, content: dict[str, str], layout: str, in_layout: bool
) -> None:
    make(content={"subject": "s", **content}, layout=layout, placeholders=[])
    assert ('role="presentation"' in str(preview(admin, "interview-invite")["html"])) == in_layout


def test_a_layout_of_ones_own(admin: Persona, make: Make) -> None:
    assert admin.client.post(TEMPLATES, LAYOUT).status_code == 201
    made = make(content={"subject": "s", "html": "<p>{{ name }}</p>"}, layout="plain")
    assert preview(admin, made["slug"])["html"] == "<html><body>[<p>name</p>] Acme</body></html>"
    taken = admin.client.delete(f"{TEMPLATES}plain/")
    assert (taken.status_code, taken.json()["code"]) == (409, "in_use")
    changed = admin.client.patch(f"{TEMPLATES}plain/", {"content": {"html": "<html>{{content}}!</html>"}})
    assert changed.status_code == 200, changed.json()
    now = admin.client.get(f"{TEMPLATES}{made['slug']}/").json()
    assert (now["version"], now["published_version"], now["content"]) == (2, 2, made["content"])
    assert preview(admin, made["slug"])["html"] == "<html><p>name</p>!</html>"
    assert preview(admin, made["slug"], version=1)["html"].endswith("Acme</body></html>"), "what is sent stays"


@pytest.mark.parametrize("source", ["<p>none</p>", "{{ content }}{{ content }}"], ids=str)
def test_a_layout_needs_one_place_for_the_content(admin: Persona, source: str) -> None:
    answer = admin.client.post(TEMPLATES, {**LAYOUT, "content": {"html": source}})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["content.html"])


def test_mjml_becomes_html_with_liquid_in_it(admin: Persona, make: Make) -> None:
    source = (
        "<mjml><mj-head><mj-attributes><mj-text color='#ff0000'/></mj-attributes></mj-head><mj-body><mj-section>"
        "<mj-column>{% for item in items %}<mj-text>{{ item.name | upper }} &amp; more</mj-text>{% endfor %}"
        "<mj-button href='{{ url }}'>Go</mj-button></mj-column></mj-section></mj-body></mjml>"
    )
    made = make(content={"subject": "s", "mjml": source}, placeholders=[])
    assert sorted(each["name"] for each in made["placeholders"]) == ["items", "url"]
    assert made["content"]["mjml"] == source
    context = {"items": [{"name": "a<"}, {"name": "b"}], "url": "https://x.example/?a=1&b=2"}
    mail = preview(admin, made["slug"], context=context)
    assert "A&lt; &amp; more" in mail["html"]
    assert mail["html"].count("&amp; more") == 2
    assert 'href="https://x.example/?a=1&amp;b=2"' in mail["html"]
    assert "<mj-" not in mail["html"]
    assert "B & more" in mail["text"]


def test_style_sheets_end_up_on_the_elements() -> None:
    source = (
        "<html><head><style>.r { color: {{ brand.color }} } @media (max-width: 9px) { .r { color: blue } }</style>"
        "</head><body><table>{% for i in items %}<tr><td class='r'>{{ i }} <a href=\"{{ u }}?a=1&b=2\">é</a></td></tr>"
        "{% endfor %}</table></body></html>"
    )
    html = markup.inline_css(source, "html")
    assert "color: {{ brand.color }}" in html.partition("<body>")[2]
    assert "@media" in html
    loop = html.index("{% for i in items %}")
    assert loop < html.index("<tr>") < html.index("{{ i }}") < html.index("</tr>") < html.index("{% endfor %}")
    assert '"{{ u }}?a=1&amp;b=2"' in html


@pytest.mark.parametrize(
    "source", ["<p>no style</p>", "<style>p{color:red}</style><p {% if x %}class='a'{% endif %}>x</p>"], ids=str
)
def test_what_can_not_be_inlined_safely_stays_as_it_is(source: str) -> None:
    assert markup.inline_css(source, "html") == source


@pytest.mark.parametrize("depth", [201, 5_000, 100_000])
def test_markup_that_is_nested_too_deeply_is_refused(depth: int) -> None:
    deep = "<div>" * depth
    with pytest.raises(ContentError, match=r"nested|KiB"):
        markup.inline_css(f"<style>p{{color:red}}</style>{deep}", "html")
    with pytest.raises(ContentError, match=r"nested|KiB"):
        markup.compile_mjml(f"<mjml><mj-body><mj-raw>{deep}</mj-raw></mj-body></mjml>")


def test_mjml_reads_no_files() -> None:
    with pytest.raises(ContentError):
        markup.compile_mjml("<mjml><mj-body><mj-include path='/etc/passwd'/></mj-body></mjml>")


def test_remote_and_local_style_sheets_are_not_fetched() -> None:
    source = "<style>p{color:red}</style><link rel='stylesheet' href='file:///etc/passwd'><p>x</p>"
    assert "root:" not in markup.inline_css(source, "html")


@pytest.mark.parametrize(
    ("asked", "tenants", "variant", "date"),
    [
        ("pt-BR", "en", "pt", "24 de dezembro de 2026"),
        ("pt", "en", "pt", "24 de dezembro de 2026"),
        ("de_AT", "en", "de", "24. Dezember 2026"),
        ("it", "de", "de", "24. Dezember 2026"),
        ("it", "fr", "", "24 décembre 2026"),
        ("", "de", "de", "24. Dezember 2026"),
        ("en-GB", "en", "", "24 December 2026"),
        ("", "en", "", "December 24, 2026"),
        ("!!", "en", "", "December 24, 2026"),
    ],
)
def test_the_recipients_language_then_the_tenants_then_the_content(
    admin: Persona, make: Make, asked: str, tenants: str, variant: str, date: str
) -> None:
    admin.client.patch(BRANDING, {"locale": tenants})
    words = "{{ d | date: 'long' }}"
    make(
        content={"subject": f"default {words}"},
        variants={tag: {"subject": f"{tag} {words}"} for tag in ("pt", "de")},
        placeholders=[{"name": "d", "type": "date", "sample": "2026-12-24"}],
    )
    answer = admin.client.post(f"{TEMPLATES}interview-invite/preview/", {"locale": asked}).json()
    assert (answer["variant"], answer["rendered"]["subject"]) == (variant, f"{variant or 'default'} {date}")


def test_a_content_may_have_a_language_of_its_own(admin: Persona, make: Make) -> None:
    admin.client.patch(BRANDING, {"locale": "de"})
    make(content={"subject": "English"}, locale="en", variants={"de": {"subject": "Deutsch"}}, placeholders=[])
    said = [preview(admin, "interview-invite", locale=tag)["subject"] for tag in ("en-US", "de", "fr")]
    assert said == ["English", "Deutsch", "Deutsch"]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("number", 5, "five"),
        ("date", "2026-12-24", "soon"),
        ("boolean", True, "yes"),
        ("url", "https://x.example", "javascript:alert(1)"),
        ("list", [1], "a"),
        ("object", {"a": 1}, "a"),
    ],
)
def test_values_are_of_the_type_that_was_declared(admin: Persona, make: Make, kind: str, good: Any, bad: Any) -> None:
    source = "{% if x %}a{% endif %}"
    make(content={"subject": f"s {source}"}, placeholders=[{"name": "x", "type": kind}])
    assert preview(admin, "interview-invite", context={"x": good}, strict=True)["subject"] == "s a"
    answer = admin.client.post(f"{TEMPLATES}interview-invite/preview/", {"context": {"x": bad}, "strict": True})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["context.x"])


def test_what_is_not_required_may_be_left_out(admin: Persona, make: Make) -> None:
    declared = [{"name": "a", "required": False}, {"name": "b.c", "default": "B"}, "d"]
    make(content={"subject": "[{{ a }}{{ b.c }}{{ d }}]"}, placeholders=declared)
    assert preview(admin, "interview-invite", context={"d": "D"}, strict=True)["subject"] == "[BD]"
    given = preview(admin, "interview-invite", context={"d": "D", "b": {"c": "own"}}, strict=True)
    assert given["subject"] == "[ownD]"
    answer = admin.client.post(f"{TEMPLATES}interview-invite/preview/", {"strict": True})
    assert list(answer.json()["errors"]) == ["context.d"]


def test_other_words_can_be_looked_at_before_they_are_saved(admin: Persona, make: Make) -> None:
    made = make()
    shown = admin.client.post(f"{TEMPLATES}{made['id']}/preview/", {"content": {"subject": "Try {{ fresh }}"}}).json()
    assert (shown["rendered"]["subject"], shown["sampled"]) == ("Try fresh", ["fresh"])
    assert admin.client.get(f"{TEMPLATES}{made['id']}/").json()["version"] == 1


@pytest.mark.parametrize(
    ("channel", "content", "expected"),
    [
        ("sms", {"body": "Hi {% if x %}{{ x }}{% endif %}"}, {"body": "Hi <&"}),
        ("push", {"title": "{{ x }}", "data": {"k": "{{ x | upper }}"}}, {"title": "<&", "data": {"k": "<&"}}),
        ("inapp", {"title": "{% unless x %}a{% endunless %}{{ x }}"}, {"title": "<&"}),
        (
            "whatsapp",
            {"template": {"name": "hello", "language": "en", "components": [
                {"type": "body", "parameters": [{"type": "text", "text": "{% if x %}{{ x }}{% endif %}"}]}
            ]}},
            {"template": {"name": "hello", "language": "en", "components": [
                {"type": "body", "parameters": [{"type": "text", "text": "<&"}]}
            ]}},
        ),
        ("apprise", {"body": "{% for i in (1..2) %}{{ x }}{% endfor %}"}, {"body": "<&<&"}),
    ],
    ids=["sms", "push", "inapp", "whatsapp", "apprise"],
)  # fmt: skip
def test_every_channel_has_templates_and_only_html_is_escaped(
    admin: Persona, make: Make, channel: str, content: dict[str, Any], expected: dict[str, Any]
) -> None:
    make(channel=channel, content=content, placeholders=[])
    rendered = preview(admin, "interview-invite", context={"x": "<&"})
    assert {name: rendered[name] for name in expected} == expected


def test_values_start_no_header(admin: Persona, make: Make) -> None:
    make(content={"subject": "Hi {% if name %}{{ name }}{% endif %}"})
    mail = preview(admin, "interview-invite", context={"name": "Ada\r\nBcc: eve@example.com"})
    assert mail["subject"] == "Hi Ada Bcc: eve@example.com"


def test_a_preview_guesses_what_the_words_make_of_a_value(admin: Persona, make: Make) -> None:
    """Nobody has to declare a date before a first look at the words."""
    made = make(
        content={
            "subject": "{{ day | date: 'short' }}, {{ at | time }}, {{ start | datetime: 'yyyy' }}",
            "body": "{{ price | default: 5 | currency: 'EUR' }}"
            "{% for item in order.items %}{{ item.title }}{% endfor %}"
            "{% if count > 2 %} {{ name }} has {{ count }} {{ count | pluralize: 'item', 'items' }}{% endif %}",
        },
        placeholders=[{"name": "at", "type": "date"}],
    )
    shown = admin.client.post(f"{TEMPLATES}{made['id']}/preview/").json()
    assert shown["rendered"]["subject"] == "12/24/26, 6:00 PM, 2026"
    assert shown["rendered"]["text"] == "€3.00 name has 3 items"
    assert sorted(shown["sampled"]) == ["at", "count", "day", "name", "order.items", "price", "start"]
