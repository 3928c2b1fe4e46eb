"""Built messages say what was asked for: to the standard library's parser, and as its own builder would say it."""

from __future__ import annotations

import email
import re
from email import policy
from email.header import decode_header, make_header
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import parseaddr
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from notifications.providers.html_text import html_to_text
from notifications.providers.mime import build_email
from notifications.providers.smtp_stream import whole_lines, wire_body

ID = UUID("0192f0a0-7c00-7000-8000-000000000001")
#: Any character that a header may carry: no control characters, surrogates or line separators.
LINE = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=200)
WORDS = st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40), max_size=30).map(
    " ".join
)
REPLY = "answers@b.example"
#: Names that need no quotes: the standard library folds inside of quoted ones, and its parser then loses the address.
NAME = st.from_regex(r"[A-Za-z0-9éüß]{1,12}( [A-Za-z0-9éüß]{1,12})?", fullmatch=True)
BODY = st.text(st.characters(exclude_categories=("Cs",)), max_size=500)
LOCAL = st.from_regex(r"[a-z0-9]{1,10}([.+-][a-z0-9]{1,10})?", fullmatch=True)
ADDRESS = st.builds("{}@{}.example".format, LOCAL, st.from_regex(r"[a-z]{1,20}", fullmatch=True))


def parse(data: bytes) -> EmailMessage:
    message = email.message_from_bytes(data, policy=policy.default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return message


def build(**values: Any) -> bytes:
    return build_email(**{"message_id": ID, "from_email": "no-reply@acme.test", "to": "ada@example.com", **values})


def display_name(data: bytes) -> str:
    """The sender's name, by the older parser: the newer one puts spaces between adjacent encoded words of a name."""
    phrase, _ = parseaddr(email.message_from_bytes(data)["From"])
    return str(make_header(decode_header(phrase)))


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return _newlines(part.get_content())


def _newlines(text: str) -> str:
    return re.sub(r"\r\n|\r", "\n", text).rstrip("\n")


def by_standard_library(subject: str, name: str, text: str, html: str | None, to: str) -> EmailMessage:
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = Address(name, addr_spec="no-reply@acme.test")
    message["To"] = to
    message["Subject"] = subject
    message.set_content(text, cte="base64")
    if html is not None:
        message.add_alternative(html, subtype="html", cte="base64")
    return parse(message.as_bytes())


@settings(max_examples=150, deadline=None)
@given(subject=st.one_of(LINE, WORDS), name=LINE, text=BODY, html=st.one_of(st.none(), BODY), to=ADDRESS, reply=ADDRESS)
@example(
    subject="=?utf-8?q?not_encoded?=", name='A "B" \\ C', text=".", html=None, to="a@b.example", reply="a@b.example"
)
@example(
    subject="  two  spaces  ", name="a,b;c@d", text="x" * 5000, html="\n.\n", to="a@b.example", reply="a@b.example"
)
@example(
    subject="word " * 199, name="é" * 100, text="From me\n", html="é" * 2000, to="a@b.example", reply="a@b.example"
)
@example(
    subject="x" * 998, name="=?x?=", text="tab\tend \n end ", html="日本語" * 300, to="a@b.example", reply="a@b.example"
)
def test_what_goes_in_comes_out(subject: str, name: str, text: str, html: str | None, to: str, reply: str) -> None:
    data = build(subject=subject, from_name=name, text=text, html=html, to=to, reply_to=reply)
    assert data.isascii()
    assert data.count(b"\r\n") == data.count(b"\n") == data.count(b"\r")
    assert all(len(line) <= 998 for line in data.split(b"\r\n"))
    message = parse(data)
    assert message["Subject"] == subject
    assert message["To"].addresses[0].addr_spec == to
    assert message["Reply-To"].addresses[0].addr_spec == reply
    assert message["From"].addresses[0].addr_spec == "no-reply@acme.test"
    assert display_name(data) == name.strip()
    assert body(message, "plain") == _newlines(text)
    if html is not None:
        assert body(message, "html") == _newlines(html)


@settings(max_examples=80, deadline=None)
@given(subject=WORDS, name=NAME, text=BODY, html=st.one_of(st.none(), BODY), to=ADDRESS)
def test_same_as_the_standard_library(subject: str, name: str, text: str, html: str | None, to: str) -> None:
    ours = parse(build(subject=subject, from_name=name, text=text, html=html, to=to))
    theirs = by_standard_library(subject, name, text, html, to)
    for header in ("Subject", "From", "To"):
        # The standard library may fold in front of the first word, which its parser takes for a space of the value.
        assert str(ours[header]).split() == str(theirs[header]).split()
    assert ours.get_content_type() == theirs.get_content_type()
    assert body(ours, "plain") == body(theirs, "plain")
    if html is not None:
        assert body(ours, "html") == body(theirs, "html")


def test_headers_of_an_ordinary_message() -> None:
    identity = uuid4()
    message = parse(
        build(message_id=identity, subject="Hi", text="Hello", headers={"List-Unsubscribe": "<https://x.test/u>"})
    )
    assert message["Message-ID"] == f"<{identity}@acme.test>"
    assert message["X-Notification-ID"] == str(identity)
    assert message["MIME-Version"] == "1.0"
    assert message["List-Unsubscribe"] == "<https://x.test/u>"
    assert message["Date"].datetime.utcoffset().total_seconds() == 0
    assert message.get_content_type() == "text/plain"


def test_copies_are_listed_and_folded() -> None:
    copies = [f"somebody-{number}@example.com" for number in range(20)]
    message = parse(build(subject="x", text="y", cc=copies))
    assert [address.addr_spec for address in message["Cc"].addresses] == copies


def test_only_html_gets_a_text_alternative() -> None:
    message = parse(build(subject="x", html="<h1>Hi</h1><p>Read <a href='https://x.test/a'>this</a></p>"))
    assert message.get_content_type() == "multipart/alternative"
    assert body(message, "plain") == "Hi\n\nRead this (https://x.test/a)"


def test_domains_travel_as_a_labels_and_local_parts_as_they_are() -> None:
    message = parse(build(to="ada@bücher.example", subject="x", text="y"))
    assert message["To"] == "ada@xn--bcher-kva.example"
    data = build(to="jörg@bücher.example", from_name="Ä", subject="Grüße", text="ß", html="<p>ß</p>")
    assert not data.isascii()
    unicode = parse(data)
    assert unicode["To"] == "jörg@xn--bcher-kva.example"
    assert unicode["Subject"] == "Grüße"
    assert unicode["Message-ID"] == f"<{ID}@acme.test>"
    assert (body(unicode, "plain"), body(unicode, "html")) == ("ß", "<p>ß</p>")


@pytest.mark.parametrize("bad", ["a\r\nBcc: evil@x.test", "a\nb", "a\rb", "a\0b", "a\ud800b"])
@pytest.mark.parametrize("field", ["subject", "from_name", "headers"])
def test_header_injection_is_refused(field: str, bad: str) -> None:
    with pytest.raises(ValueError, match="header"):
        build(**{field: {"X-Campaign": bad} if field == "headers" else bad}, text="x")


@pytest.mark.parametrize("field", ["to", "from_email", "reply_to", "cc"])
def test_address_injection_is_refused(field: str) -> None:
    bad = "a@b.test\r\nBcc: evil@x.test"
    with pytest.raises(ValueError, match="address"):
        build(subject="x", text="y", **{field: [bad] if field == "cc" else bad})


@pytest.mark.parametrize("name", ["From", "bcc", "Content-Type", "content-language", "X Y", "X:Y", "", "X\r\nBcc"])
def test_headers_that_are_not_the_callers_to_set(name: str) -> None:
    with pytest.raises(ValueError, match="header"):
        build(subject="x", text="y", headers={name: "value"})


@given(st.binary(max_size=300))
def test_wire_body_has_one_end_and_it_is_the_end(data: bytes) -> None:
    wire = wire_body(whole_lines(data))
    assert wire.endswith(b".\r\n")
    assert wire.count(b"\r\n") == wire.count(b"\n") == wire.count(b"\r")
    assert (b"\r\n" + wire).find(b"\r\n.\r\n") == len(wire) - 3
    unstuffed = re.sub(rb"(?m)^\.\.", b".", wire[:-3])
    normal = re.sub(rb"\r\n|\r|\n", b"\r\n", data)
    assert unstuffed in (normal, normal + b"\r\n")


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>One</p><p>Two</p>", "One\n\nTwo"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<ul><li>x</li><li>y</li></ul>", "- x\n\n- y"),
        ("<style>p{}</style><script>alert(1)</script><title>t</title>seen", "seen"),
        ("<p>5 &lt; 6 &amp; 7</p>", "5 < 6 & 7"),
        ('<a href="https://x.test">https://x.test</a>', "https://x.test"),
        ('<a href="#top">up</a>', "up"),
        ('<img alt="Logo" src="x.png"> text', "Logo text"),
        ("<table><tr><td>a</td><td>b</td></tr></table>", "a b"),
        ("unclosed <b>bold <i>and", "unclosed bold and"),
        ("<<<>>> & < b", "<<<>>> & < b"),
        ("<!-- <p>no</p> -->yes<!-- never closed <p>no</p>", "yes"),
        ("<!DOCTYPE html><?xml x?><HTML><HEAD><TITLE>t</TITLE></HEAD><BODY>seen</BODY></HTML>", "seen"),
        ("<a href=x.test>one<a href='y.test'>two</a></a>", "onetwo (y.test)"),
        ("a&nbsp;b &#8364; &#" + "9" * 5000 + ";", "a&nbsp;b &#8364; &#" + "9" * 5000 + ";"),
        ("a &#8364; &eacute;", "a € é"),
        ("", ""),
    ],
)
def test_text_of_html(html: str, text: str) -> None:
    assert html_to_text(html) == text


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "piece",
    ["<", "<a ", "<!--", "<!-- >", "</", "<a href=", '<a href="', "<a>", "<a href=x>", "<svg>", "</svg>", "<script>",
     "&", "&#", "<!", "<?", "<![CDATA[", "<p", "</script", "<title></", " ", "\n", "<br>", "<a href='\">"],
)  # fmt: skip
def test_markup_of_strangers_takes_linear_time(piece: str) -> None:
    repeated = piece * (500_000 // len(piece))
    html_to_text(repeated)
    html_to_text(f"<a {repeated}>{repeated}</a>{repeated}")


@given(st.text(st.sampled_from("<>/abpi&;\"'= !-[]?"), max_size=200))
def test_text_of_any_html_is_made(html: str) -> None:
    assert isinstance(html_to_text(html), str)
