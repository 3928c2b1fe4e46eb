"""Opens and clicks: signed links in mails of campaigns, counted once, leading nowhere else."""

from __future__ import annotations

import re
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from notification_service.lib.ids import new_id
from notifications.campaigns.tracking import Tracked, click_url, open_url
from notifications.records.engine import Engine
from tests.campaigns.conftest import act, caught, create, finish, load, look, people, records, rows
from tests.conftest import Persona
from tests.sandbox.conftest import Sandbox

pytestmark = pytest.mark.django_db(transaction=True)

MARKUP = (
    '<html><body><p>Dear {{name}}</p><a href="https://acme.example/a?x=1&amp;y={{name}}">A</a>'
    "<a class='b' href='http://acme.example/b'>B</a><a href=\"mailto:info@acme.example\">Write</a>"
    '<a href="{{unsubscribe_url}}">No more</a></body></html>'
)


def send_one(persona: Persona, engine: Engine, server: Sandbox, **changes: object) -> tuple[str, UUID]:
    """Send a campaign to one; returns the HTML that arrived, and the campaign's id."""
    campaign_id = create(
        persona, recipients=people(1), content={"subject": "Hi", "html": MARKUP, "text": "Dear {{name}}"}, **changes
    )
    act(persona, campaign_id, "launch")
    assert finish(persona, campaign_id, engine)["sent"] == 1
    return caught(server, view="full")[0]["html"], campaign_id


def path_of(url: str) -> str:
    return urlsplit(url).path


def test_a_mail_reports_that_it_was_opened_and_what_was_clicked(
    marketer: Persona, engine: Engine, mail_server: Sandbox, settings: Settings
) -> None:
    markup, campaign_id = send_one(marketer, engine, mail_server)
    pixel = re.search(r'<img src="([^"]+)"[^>]*></body>', markup)
    links = re.findall(r"href=[\"']([^\"']+)", markup)
    assert pixel
    assert links[0].startswith(f"{settings.PUBLIC_URL}/t/c/")
    assert links[2] == "mailto:info@acme.example"
    assert links[3].startswith(f"{settings.PUBLIC_URL}/u/")
    anybody = APIClient()
    for _ in range(2):
        answer = anybody.get(path_of(pixel[1]))
        assert (answer.status_code, answer["Content-Type"]) == (200, "image/gif")
    assert [look(marketer, campaign_id)[name] for name in ("opened", "clicked", "delivered")] == [1, 0, 1]
    targets = []
    for link in (links[0], links[0], links[1]):
        answer = anybody.get(path_of(link))
        assert answer.status_code == 302
        targets.append(answer["Location"])
    assert targets == ["https://acme.example/a?x=1&y=Person%200"] * 2 + ["http://acme.example/b"]
    assert [look(marketer, campaign_id)[name] for name in ("opened", "clicked", "delivered")] == [1, 1, 1]
    (record,) = records(marketer, campaign_id)
    assert (record.status, record.delivery_state) == ("success", "clicked")
    story = marketer.client.get(f"/api/notifications/records/{record.id}/timeline/").json()["timeline"]
    assert [step["event"] for step in story if step.get("actor") == "tracking"] == ["opened", "clicked", "clicked"]
    report = look(marketer, campaign_id, "report")
    assert (report["rates"]["opened"], report["rates"]["clicked"]) == (100.0, 100.0)
    (row,) = rows(marketer, campaign_id)
    assert None not in (row.opened_at, row.clicked_at)


def test_the_way_out_works(marketer: Persona, engine: Engine, mail_server: Sandbox) -> None:
    markup, _ = send_one(marketer, engine, mail_server)
    way_out = re.findall(r"href=[\"']([^\"']+/u/[^\"']+)", markup)[0]
    assert APIClient().post(path_of(way_out)).status_code == 200
    campaign_id = create(marketer, recipients=people(1))
    act(marketer, campaign_id, "launch")
    progress = finish(marketer, campaign_id, engine)
    assert (progress["sent"], progress["withheld"]) == (0, 1)


def test_links_are_found_among_other_attributes_and_in_any_markup(
    marketer: Persona, engine: Engine, mail_server: Sandbox
) -> None:
    """A mail of nothing but beginnings of links must not keep a worker busy for minutes."""
    links = (
        '<a data-href="https://acme.example/data" href="https://acme.example/real">1</a>'
        "<A class=b title='a > b'\nHREF = 'https://acme.example/capitals'>2</A>"
        '<a hreflang="de" href="https://acme.example/language">3</a><a href=https://acme.example/bare>4</a>'
    )
    body = f"<html><body>{links}{'<a ' * 80_000}</body></html>"
    campaign_id = create(marketer, recipients=people(1), content={"subject": "Hi", "html": body, "text": "x"})
    act(marketer, campaign_id, "launch")
    assert finish(marketer, campaign_id, engine)["sent"] == 1
    markup = caught(mail_server, view="full")[0]["html"]
    assert 'data-href="https://acme.example/data"' in markup
    tracked = re.findall(r"href\s*=\s*[\"']([^\"']+/t/c/[^\"']+)", markup, re.IGNORECASE)
    targets = [APIClient().get(path_of(each))["Location"] for each in tracked]
    assert targets == [f"https://acme.example/{name}" for name in ("real", "capitals", "language")]


def test_who_wants_no_tracking_gets_none(marketer: Persona, engine: Engine, mail_server: Sandbox) -> None:
    markup, campaign_id = send_one(marketer, engine, mail_server, track=False)
    assert "/t/" not in markup
    assert "https://acme.example/a?x=1&amp;y=Person 0" in markup
    assert load(marketer, campaign_id).track is False


def test_a_link_leads_only_where_we_have_said(tenant: object) -> None:
    tracked = Tracked(new_id(), new_id(), "https://acme.example/")
    client, link = APIClient(), path_of(click_url(tracked))
    head, token = link.rsplit("/", 1)
    for wrong in (token[:-3], "x" + token[1:], token + "AAAA", "", "no-token", path_of(open_url(tracked))[5:-4]):
        assert client.get(f"{head}/{wrong}").status_code == 404, wrong
    assert client.get(f"/t/o/{token}.gif").status_code == 404, "a click is no open"
    # A link of a tenant that is gone leads on: nobody is punished for an old mail.
    assert client.get(link)["Location"] == "https://acme.example/"
