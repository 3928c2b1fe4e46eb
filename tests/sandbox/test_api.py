"""The API over the caught messages, and the page."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.message import EmailMessage
from uuid import UUID

import pytest

from tests.sandbox.conftest import Sandbox, mail


def test_message_in_full(sandbox: Sandbox) -> None:
    message = EmailMessage()
    message["From"] = "Acme <app@acme.example>"
    message["To"] = "Ada <ada@example.com>"
    message["Subject"] = "Grüße, a subject that is long enough to be folded into more than one line of the header ✓"
    message["X-Tag"] = "one"
    message["X-Tag"] = "two"
    message["X-Tag"] = "three"
    message.set_content("Hällo\n")
    message.add_alternative("<p>Hällo</p>\n", subtype="html", cte="base64")
    message.add_attachment(b"12345", maintype="application", subtype="pdf", filename="report.pdf")
    before = datetime.now(UTC)
    with sandbox.client() as client:
        client.login("acme", "pw")
        client.send_message(message, from_addr="bounces@acme.example", to_addrs=["ada@example.com", "bob@example.com"])

    listed = sandbox.request("/api/messages").json()
    assert listed["total"] == 2
    found = {m["to"]: m for m in listed["messages"]}
    ada = found["ada@example.com"]
    assert set(found) == {"ada@example.com", "bob@example.com"}
    assert UUID(ada["id"]).version == 7
    assert (ada["channel"], ada["tenant"], ada["from"]) == ("email", "acme", "bounces@acme.example")
    assert ada["subject"] == ada["headers"]["Subject"] == message["Subject"]
    assert ada["headers"]["X-Tag"] == ["one", "two", "three"]
    assert ada["headers"]["To"] == "Ada <ada@example.com>"
    assert (ada["text"], ada["html"]) == ("Hällo\n", "<p>Hällo</p>\n")
    assert ada["attachments"] == [{"filename": "report.pdf", "content_type": "application/pdf", "size": 5}]
    assert abs((datetime.fromisoformat(ada["received_at"]) - before).total_seconds()) < 10
    assert sandbox.request(f"/api/messages/{ada['id']}").json() == ada
    raw = sandbox.request(f"/api/messages/{ada['id']}/raw")
    assert raw.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert raw.body.decode() == ada["raw"]


def test_filters(sandbox: Sandbox) -> None:
    sandbox.send("Ada@Example.com", subject="Payslip", login="acme")
    sandbox.send("ada@example.com.au", subject="Straße 100%", login="globex")
    sandbox.send("bob@example.com", subject="payslip again", login="acme")

    def found(**query: str) -> list[str]:
        answer = sandbox.request("/api/messages", **query).json()
        assert answer["total"] == len(answer["messages"])
        return [m["to"] for m in answer["messages"]]

    assert found(to="ADA@example.com") == ["Ada@Example.com"]
    assert found(to="example.com") == []
    assert found(q="ADA@exam") == ["ada@example.com.au", "Ada@Example.com"]
    assert found(q="PAYSLIP") == ["bob@example.com", "Ada@Example.com"]
    assert found(q="STRASSE") == ["ada@example.com.au"]
    assert found(q="%") == ["ada@example.com.au"]
    assert found(tenant="acme", q="again") == ["bob@example.com"]
    assert found(channel="email", tenant="globex") == ["ada@example.com.au"]
    assert found(channel="sms") == []
    assert sandbox.request("/api/filters").json() == {"channels": ["email"], "tenants": ["acme", "globex"]}


def test_pages_by_limit_and_before(sandbox: Sandbox) -> None:
    with sandbox.client() as client:
        for number in range(60):
            client.send_message(mail("ada@example.com", subject=str(number)))
    assert [m["subject"] for m in sandbox.messages()] == [str(n) for n in range(59, 9, -1)]
    first = sandbox.messages(limit=25)
    second = sandbox.request("/api/messages", limit=25, before=first[-1]["id"]).json()
    third = sandbox.messages(limit=25, before=second["messages"][-1]["id"])
    assert [m["subject"] for m in [*first, *second["messages"], *third]] == [str(n) for n in range(59, -1, -1)]
    assert second["total"] == 60


def test_summary_leaves_contents_out(sandbox: Sandbox) -> None:
    sandbox.send("ada@example.com")
    (summary,) = sandbox.messages(view="summary")
    assert set(summary) == {"id", "channel", "tenant", "to", "from", "subject", "received_at"}


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "", "1.5", "9" * 30, "²"])
def test_bad_limit_names_the_field(sandbox: Sandbox, limit: str) -> None:
    answer = sandbox.request("/api/messages", limit=limit)
    assert answer.status == 400
    assert answer.json()["code"] == "invalid"
    assert answer.json()["detail"].startswith("limit: ")
    assert list(answer.json()["errors"]) == ["limit"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/api/messages/unknown", 404, "not_found"),
        ("GET", "/api/messages/unknown/html", 404, "not_found"),
        ("GET", "/api/messages/unknown/raw", 404, "not_found"),
        ("POST", "/api/messages", 405, "method_not_allowed"),
        ("GET", "/api/messages?view=all", 400, "invalid"),
        ("DELETE", "/api/messages?tennant=acme", 400, "invalid"),
        ("DELETE", "/api/messages?tenant=", 400, "invalid"),
    ],
)
def test_errors_have_one_shape(sandbox: Sandbox, method: str, path: str, status: int, code: str) -> None:
    answer = sandbox.request(path, method)
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert answer.json()["detail"]


def test_clear(sandbox: Sandbox) -> None:
    sandbox.send("a@example.com", "b@example.com", login="acme")
    sandbox.send("c@example.com", login="globex")
    assert sandbox.request("/api/messages", "DELETE", to="A@example.com").json() == {"deleted": 1}
    assert [m["text"] for m in sandbox.messages(to="b@example.com")] == ["Hello there\n"]
    assert sandbox.request("/api/messages", "DELETE", tenant="acme").json() == {"deleted": 1}
    assert [m["to"] for m in sandbox.messages()] == ["c@example.com"]
    assert sandbox.request("/api/messages", "DELETE").json() == {"deleted": 1}
    assert sandbox.request("/api/messages").json() == {"messages": [], "total": 0}
    sandbox.send("d@example.com")
    assert [m["to"] for m in sandbox.messages()] == ["d@example.com"]


def test_hostile_content_stays_data(sandbox: Sandbox) -> None:
    hostile = "<script>alert(1)</script>"
    page = sandbox.request("/")
    sandbox.send("ada@example.com", subject=hostile, html=hostile)
    assert sandbox.request("/").body == page.body  # the page itself holds no message
    listed = sandbox.request("/api/messages")
    assert listed.headers["Content-Type"].startswith("application/json")
    assert listed.headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in listed.headers
    assert listed.json()["messages"][0]["subject"] == hostile
    html = sandbox.request(f"/api/messages/{listed.json()['messages'][0]['id']}/html")
    assert html.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert html.headers["Content-Security-Policy"] == policy


def test_page_fetches_nothing_from_outside_and_inserts_text_only(sandbox: Sandbox) -> None:
    page = sandbox.request("/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    files = re.findall(r'(?:src|href)="(/[^"]+)"', page.body.decode())
    assert sorted(files) == ["/static/app.css", "/static/app.js"]
    sources = {name: sandbox.request(name) for name in files}
    assert sources["/static/app.js"].headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert sources["/static/app.css"].headers["Content-Type"] == "text/css; charset=utf-8"
    for source in (page, *sources.values()):
        assert source.status == 200
        without_namespace = source.body.replace(b"http://www.w3.org/2000/svg", b"")
        assert not re.search(rb"https?://|url\(", without_namespace)
    assert not re.search(
        rb"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", sources["/static/app.js"].body
    )
    assert b'sandbox=""' in page.body


def test_broken_mail_can_be_read(sandbox: Sandbox) -> None:
    broken = (
        b"Subject: =?utf-99?B?@@@?= =?utf-8?q?ok?=\r\n"
        b"Content-Type: multipart/mixed; boundary=\r\nTo: <<<,;\r\nX\xff: \xff\xfe\r\n\r\n--\r\n\xff\xfe"
    )
    wrong_charset = (
        b"Content-Type: text/plain; charset=nonsense\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!not base64"
    )
    with sandbox.client() as client:
        client.ehlo()
        for raw in (broken, wrong_charset, b"\r\n\r\n", b"no header at all"):
            client.sendmail("app@acme.example", ["ada@example.com"], raw)
    assert len(sandbox.messages()) == 4


def test_health(sandbox: Sandbox) -> None:
    sandbox.send("ada@example.com")
    answer = sandbox.request("/health").json()
    assert answer == {"status": "ok", "smtp": f"127.0.0.1:{sandbox.smtp_port}", "messages": 1}
