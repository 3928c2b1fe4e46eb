"""The language: what is simple renders as Liquid would render it, and nothing that strangers write does harm."""

from __future__ import annotations

import html
import time
from decimal import Decimal
from typing import Any

import pytest
from babel import Locale
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.channels.base import ContentError
from notifications.channels.placeholders import Text
from notifications.templates.language.compiler import fold, texts_in
from notifications.templates.language.engine import MAX_SECONDS, LiquidText
from notifications.templates.language.filters import FILTERS

EN = Locale.parse("en")
BOUND = {"brand.name": "A&B", "brand.logo_url": "", "brand.color": "#123456"}


def compiled(source: str, locale: str = "en") -> Text:
    return texts_in(Locale.parse(locale, sep="-"), BOUND)(source, "body")


def rendered(source: str, locale: str = "en", **context: Any) -> str:
    return compiled(source, locale).render(context)


def outcome(text: Text, context: dict[str, Any], *, escape: bool) -> tuple[str, str | None]:
    try:
        return text.render(context, html.escape if escape else None), None
    except ContentError as error:
        return "", error.placeholder if error.message.startswith("Missing") else "refused"


# --- Two ways to the same words -------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    ["name", "Candidate Name", "a.b", "items.0.title", "2fa", "first-name", "empty", "Имя", "x.y.z"]
)
LITERALS = st.sampled_from(["'x'", '"y z"', "3", "-2", "1.5"])
FILTER = st.one_of(
    st.sampled_from(["upper", "lower", "title", "capitalize", "strip", "number", "abs", "date", "default"]),
    st.tuples(
        st.sampled_from(
            ["default", "truncate", "append", "prepend", "plus", "times", "divided_by", "currency", "date"]
        ),
        LITERALS,
    ).map(lambda pair: f"{pair[0]}: {pair[1]}"),
    st.tuples(st.sampled_from(["replace", "pluralize", "truncate"]), LITERALS, LITERALS).map(
        lambda three: f"{three[0]}: {three[1]}, {three[2]}"
    ),
)
OUTPUT = st.tuples(NAMES, st.lists(FILTER, max_size=3)).map(
    lambda pair: "{{ " + " | ".join([pair[0], *pair[1]]) + " }}"
)
LITERAL_TEXT = st.text(alphabet=st.characters(blacklist_characters="{}%", blacklist_categories=["Cs"]), max_size=12)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.text(alphabet=st.characters(blacklist_categories=["Cs"]), max_size=20),
    st.just("2026-12-24"),
    st.lists(st.integers(), max_size=3),
)
CONTEXTS = st.fixed_dictionaries(
    {},
    optional={
        "name": VALUES,
        "Candidate Name": VALUES,
        "a": st.one_of(VALUES, st.fixed_dictionaries({}, optional={"b": VALUES})),
        "a.b": VALUES,
        "items": st.one_of(VALUES, st.lists(st.fixed_dictionaries({"title": VALUES}), max_size=2)),
        "2fa": VALUES,
        "first-name": VALUES,
        "empty": VALUES,
        "Имя": VALUES,
        "x": st.fixed_dictionaries({"y": st.fixed_dictionaries({"z": VALUES})}),
    },
)


@settings(max_examples=400, deadline=None)
@given(pieces=st.lists(st.one_of(OUTPUT, LITERAL_TEXT), max_size=5), context=CONTEXTS, escape=st.booleans())
def test_a_join_renders_what_liquid_renders(pieces: list[str], context: dict[str, Any], escape: bool) -> None:
    source = "".join(pieces)
    join = compiled(source)
    assert join.is_fixed, source
    liquid = LiquidText(source, "body", EN, BOUND)
    assert set(join.placeholders) == set(liquid.placeholders)
    assert outcome(join, context, escape=escape) == outcome(liquid, context, escape=escape)


@given(
    shown=st.booleans(), word=st.sampled_from(["if", "unless"]), name=st.sampled_from(["brand.name", "brand.logo_url"])
)
def test_conditions_on_what_is_bound_are_folded_away(shown: bool, word: str, name: str) -> None:
    otherwise = "{% else %}B{{ y }}" if shown else ""
    source = f"<{{% {word} {name} %}}A{{{{ x }}}}{otherwise}{{% end{word} %}}>"
    folded = fold(source, "body", BOUND)
    assert "{%" not in folded
    assert compiled(source).is_fixed
    context = {"x": 1, "y": 2, "brand": {"name": "A&B", "logo_url": ""}}
    truthy = source.replace("brand.logo_url", "nothing")
    assert compiled(source).render(context) == LiquidText(truthy, "body", EN, {}).render(context)


@pytest.mark.parametrize(
    "source",
    [
        "{% if brand.name == 'x' %}a{% endif %}",
        "{% if brand.name %}a{% elsif x %}b{% endif %}",
        "{% if x %}a{% endif %}",
    ],
    ids=str,
)
def test_other_conditions_are_left_to_liquid(source: str) -> None:
    assert fold(source, "body", BOUND) == source


def test_folding_inside_and_around_other_blocks() -> None:
    source = "{% if x %}{% if brand.name %}1{% else %}2{% endif %}{% else %}3{% endif %}"
    source += "{% unless brand.name %}{% if x %}4{% endif %}{% endunless %}"
    assert fold(source, "body", BOUND) == "{% if x %}1{% else %}3{% endif %}"


# --- Filters ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "locale", "value", "expected"),
    [
        ("{{ x | default: 'friend' }}", "en", None, "friend"),
        ("{{ x | default: 'friend' }}", "en", "", "friend"),
        ("{{ x | default: 'friend' }}", "en", 0, "0"),
        ("{{ x | date }}", "en", "2026-12-24", "Dec 24, 2026"),
        ("{{ x | date: 'long' }}", "de", "2026-12-24", "24. Dezember 2026"),
        ("{{ x | date: 'long' }}", "pt-BR", "2026-12-24T18:00:00Z", "24 de dezembro de 2026"),
        ("{{ x | date: '%d.%m.%Y' }}", "en", "2026-12-24", "24.12.2026"),
        ("{{ x | date: '%A at %H:%M' }}", "fr", "2026-12-24T18:05:00", "jeudi at 18:05"),
        ("{{ x | date: 'yyyy-MM' }}", "en", 0, "1970-01"),
        ("{{ x | time }}", "de", "2026-12-24T18:05:00", "18:05"),
        ("{{ x | datetime: 'short' }}", "de", "2026-12-24T18:05:00", "24.12.26, 18:05"),
        ("{{ x | number }}", "de", 1234567.891, "1.234.567,891"),
        ("{{ x | number: 2 }}", "en", "1234.5", "1,234.50"),
        ("{{ x | number: 0 }}", "en", 1999.6, "2,000"),
        ("{{ x | percent }}", "de", 0.25, "25\u00a0%"),
        ("{{ x | currency: 'EUR' }}", "de", 1234.5, "1.234,50\u00a0€"),
        ("{{ x | currency: 'USD' }}", "en", 1234.5, "$1,234.50"),
        ("{{ x | currency: 'JPY' }}", "en", 1234, "¥1,234"),
        ("{{ x | upper }}", "en", "iı", "II"),
        ("{{ x | upper }}", "tr", "iı", "İI"),
        ("{{ x | lower }}", "tr", "Iİ", "ıi"),
        ("{{ x | title }}", "en", "o'neil and the don't", "O'neil And The Don't"),
        ("{{ x | truncate: 8 }}", "en", "Hello there", "Hello..."),
        ("{{ x | truncate: 6, '…' }}", "en", "Hello there", "Hello…"),
        ("{{ x | pluralize: 'item', 'items' }}", "en", 1, "item"),
        ("{{ x | pluralize: 'item', 'items' }}", "en", 0, "items"),
        ("{{ x | pluralize: 'plik', 'pliki', 'plików' }}", "pl", 1, "plik"),
        ("{{ x | pluralize: 'plik', 'pliki', 'plików' }}", "pl", 3, "pliki"),
        ("{{ x | pluralize: 'plik', 'pliki', 'plików' }}", "pl", 12, "plików"),
        ("{{ x | plus: 0.2 }}", "en", 0.1, "0.3"),
        ("{{ x | divided_by: 2 }}", "en", 7, "3"),
        ("{{ x | divided_by: 2.0 }}", "en", 7, "3.5"),
        ("{{ x | join: ', ' }}", "en", ["a", "b"], "a, b"),
        ("{{ x | split: ',' | last }}", "en", "a,b,c", "c"),
        ("{{ x | size }}", "en", [1, 2], "2"),
        ("{{ x | sum }}", "en", [0.1, 0.2], "0.3"),
        ("{{ x | map: 'n' | sort | join }}", "en", [{"n": 2}, {"n": 1}], "1 2"),
        ("{{ x | where: 'n', 2 | size }}", "en", [{"n": 2}, {"n": 1}], "1"),
        ("{{ x | url_encode }}", "en", "a b&c", "a+b%26c"),
    ],
)
def test_filters(source: str, locale: str, value: Any, expected: str) -> None:
    assert rendered(source, locale, x=value).replace("\u202f", " ") == expected


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("{{ x | date }}", "tomorrow"),
        ("{{ x | date }}", True),
        ("{{ x | date: '%Q' }}", "2026-12-24"),
        ("{{ x | time }}", "2026-12-24"),
        ("{{ x | number }}", "many"),
        ("{{ x | number: 99 }}", 1),
        ("{{ x | number }}", float("1e300")),
        ("{{ x | number }}", "1e999999999"),
        ("{{ x | currency: 'Euro' }}", 1),
        ("{{ x | upper }}", ["a"]),
        ("{{ x | divided_by: 0 }}", 1),
        ("{{ x | plus }}", 1),
        ("{{ x }}", {"a": 1}),
        ("{{ x | sort }}", [1, "a"]),
    ],
)
def test_values_that_a_filter_can_not_take_are_the_contexts_fault_or_the_contents(source: str, value: Any) -> None:
    with pytest.raises(ContentError) as caught:
        rendered(source, x=value)
    assert caught.value.field == "body"
    assert caught.value.message


def test_every_filter_survives_every_kind_of_value() -> None:
    values = [None, True, 0, -1, 1.5, 10**40, "", "a", "1", "2026-01-01", [], [1, "a", None, {}], {}, {"a": 1}]
    for name in FILTERS:
        for value in values:
            for arguments in ("", ": 1", ": 'a'", ": 1, 2", ": 'a', 'b'", ": -1, 'x', 3"):
                source = f"{{{{ x | {name}{arguments} }}}}"
                for text in (compiled(source), LiquidText(source, "body", EN, {})):
                    outcome(text, {"x": value}, escape=True)


# --- Strict about what is missing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("{{ x }}", "x"),
        ("{% if true %}{{ a.b }}{% endif %}", "a.b"),
        ("{% for i in items %}{% endfor %}", "items"),
        ("{% for i in list %}{{ i.n }}{% endfor %}", "i.n"),
        ("{{ 'a' | append: x }}", "x"),
        ("{{ x | upper }}", "x"),
        ("{% assign y = x %}{{ y }}", "x"),
        ("{{ nothing }}", "nothing"),
    ],
)
def test_what_is_missing_is_named(source: str, name: str) -> None:
    with pytest.raises(ContentError) as caught:
        rendered(source, list=[{}], nothing=None)
    assert (caught.value.placeholder, caught.value.field) == (name, "body")


def test_what_is_missing_is_false_in_a_condition() -> None:
    assert rendered("{% if x %}a{% elsif y.z %}b{% else %}c{% endif %}{% unless x %}d{% endunless %}") == "cd"
    assert rendered("{% if x contains 'a' %}a{% endif %}") == ""
    assert rendered("{% if x == nil %}a{% endif %}{% if x == 'b' %}c{% endif %}") == "a"


# --- Strangers -------------------------------------------------------------------------------------------------------

BOMBS = {
    "a nested loop": "{% for a in (1..9999) %}{% for b in (1..9999) %}x{% endfor %}{% endfor %}",
    "a long range": "{% for a in (1..99999999999999) %}x{% endfor %}",
    "a range as a value": "{{ (1..999999999) | join: ',' }}",
    "doubling": "{% assign a = 'xxxxxxxxxxxxxxxx' %}" + "{% assign a = a | append: a %}" * 40 + "{{ a }}",
    "squaring": "{% assign a = 9 %}" + "{% assign a = a | times: a %}" * 60 + "{{ a }}",
    "growing replacements": "{% assign a = big | replace: 'a', big %}{{ a }}",
    "empty replacements": "{% assign a = big | replace: '', big %}{{ a }}",
    "capturing": "{% capture a %}{{ big }}{% endcapture %}" + "{% capture a %}{{ a }}{{ a }}{% endcapture %}" * 30,
    "output": "{% for a in (1..9999) %}{{ big }}{% endfor %}",
    "work": "{% for a in (1..9999) %}{{ big | upper | lower | size }}{% endfor %}",
    "work in conditions": "{% for a in (1..9999) %}{% if list == other %}{% endif %}{% endfor %}",
    "many loops": "{% for a in (1..9999) %}{% assign b = a %}{% endfor %}" * 500,
    "sorting": "{% for a in (1..9999) %}{% assign b = list | sort | reverse %}{% endfor %}",
    "many pieces": "{{ big | split: '' | join: big }}",
    "many tags": "{{ a }}" * 6_000,
    "nesting": "{% if a %}" * 4_000 + "{% endif %}" * 900,
    "deep paths": "{{ a" + "[a" * 900 + "]" * 900 + " }}",
    "nothing closed": "{{" * 200_000,
    "no tag closed": "{%" * 200_000,
    "no raw closed": "{% raw %}" * 4_000,
    "raws": "{% endraw %}" * 2_000 + "{% raw %}" * 2_000,
    "white space": "{{" + " " * 1_900 + "}}" + "{% if a %}{% endif %}",
    "a comment": "{% comment %}" * 4_000,
    "an inclusion": "{% include '/etc/passwd' %}",
    "a rendering": "{% render 'x' %}",
    "a tag of Python": "{% import os %}",
    "padding": "{{ 1 | round: 999999999 }}{% if a %}{% endif %}",
    "a format": "{{ '2026-01-01' | date: '" + "y" * 1_000 + "' }}{% if a %}{% endif %}",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_quickly(name: str) -> None:
    context = {"a": "a", "big": "a" * 200_000, "list": list(range(20_000)), "other": list(range(20_000))}
    began = time.thread_time()
    with pytest.raises(ContentError) as caught:
        compiled(BOMBS[name]).render(context, html.escape)
    assert len(caught.value.message) < 1_500
    assert time.thread_time() - began < MAX_SECONDS * 40, "bounded, with room for slow machines"


@pytest.mark.parametrize(
    "source",
    [
        "{% if " + "a and " * 300 + "a %}{% endif %}",
        "{{ big " + "| upper " * 200 + "}}",
        "{% if a %}x{% endif %}" * 2_000,
    ],
    ids=["conditions", "filters", "tags"],
)
def test_much_work_is_done_quickly(source: str) -> None:
    began = time.thread_time()
    compiled(source).render({"a": "a", "big": "a" * 20_000})
    assert time.thread_time() - began < MAX_SECONDS * 40


@pytest.mark.parametrize(
    "source",
    [
        "{{ x.__class__ }}",
        "{{ x.upper }}",
        "{{ x['__class__'] }}",
        "{% if true %}{{ x.__class__.__mro__ }}{% endif %}",
        "{{ list.append }}",
        "{{ list | map: '__class__' | first }}",
        "{{ object.keys }}",
        "{{ object.items }}",
        "{% for i in object.__dict__ %}{{ i }}{% endfor %}",
    ],
)
def test_there_is_no_way_into_python(source: str) -> None:
    with pytest.raises(ContentError):
        rendered(source, x="text", list=[1], object={"a": 1})


SCRIPT = "<script>alert('1')</script>"


@pytest.mark.parametrize(
    "source",
    [
        "{{ x }}",
        "{{ x | upper | lower }}",
        "{% if x %}{{ x }}{% endif %}",
        "{% capture y %}{{ x }}{% endcapture %}{{ y }}",
        "{% assign y = x %}{{ y | append: x }}",
        "{% for i in list %}{{ i }}{% endfor %}",
        "{{ list | join: x }}{% if x %}{% endif %}",
        "{{ x | escape }}",
        "{{ x | newline_to_br }}",
        "{{ x | escape | append: x }}",
        "{{ x | newline_to_br | replace: '&lt;', '<' }}",
        "{% capture y %}{{ x }}{% endcapture %}{{ y | replace: '&lt;', '<' | replace: '&gt;', '>' }}",
    ],
)
def test_markup_in_values_is_escaped(source: str) -> None:
    shown = compiled(source).render({"x": SCRIPT, "list": [SCRIPT, SCRIPT]}, html.escape)
    assert "<script" not in shown
    assert "script" in shown.lower()


def test_markup_of_the_template_itself_stays() -> None:
    source = "{% capture y %}<b>{{ x }}</b>{% endcapture %}{{ y }}{{ x | newline_to_br }}"
    assert compiled(source).render({"x": "a\n<"}, html.escape) == "<b>a\n&lt;</b>a<br>\n&lt;"


@settings(max_examples=300, deadline=None)
@given(source=st.text(alphabet="{}%|.:'\"-ab 1()[],=<>\n_ifforend", max_size=60))
def test_any_source_is_compiled_or_refused(source: str) -> None:
    try:
        text = compiled(source)
    except ContentError:
        return
    outcome(text, {"a": {"b": [1, 2]}, "b": "x"}, escape=True)


def test_numbers_are_not_written_as_powers() -> None:
    assert rendered("{{ x | times: 100000 }}", x=Decimal("1E+3")) == "100000000"
