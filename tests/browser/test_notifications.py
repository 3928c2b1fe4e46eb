"""The bell in a real browser: at once, once, in every tab, also over a killed server and a lost network."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import psycopg
import pytest
from playwright.sync_api import Page, expect

from notification_service.local.control import ask, wait_for_state
from notification_service.local.environment import local_setup
from tests.browser.conftest import (
    HANNA,
    UMA,
    Desk,
    bell,
    count,
    eventually,
    hanna,
    items,
    kill_web,
    ring,
    uma,
    until,
    wait_for_web,
)
from tests.running_service import RunningService

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("browser")]

#: Keeps each AudioContext that the page makes, so that tests see whether it plays.
LISTEN = """
window.heard = [];
window.audio = [];
const Original = window.AudioContext;
window.AudioContext = class extends Original { constructor(...given) { super(...given); window.audio.push(this); } };
for (const kind of [OscillatorNode, AudioBufferSourceNode]) {
  const start = kind.prototype.start;
  kind.prototype.start = function (...given) {
    window.heard.push(this.context.state);
    return start.apply(this, given);
  };
}
"""


def test_a_message_arrives_without_reload(desk: Desk, service: RunningService) -> None:
    page = desk.open()
    page.evaluate("window.neverReloaded = true")
    ring(service, UMA, "Interview on Thursday", body="Room 4")
    expect(count(uma(page))).to_have_text("1")
    expect(count(hanna(page))).to_be_hidden()
    bell(uma(page)).click()
    expect(items(uma(page), "Interview on Thursday")).to_have_count(1)
    ring(service, UMA, "Another one")
    expect(items(uma(page), "Another one")).to_have_count(1)
    assert page.evaluate("window.neverReloaded")


def test_the_buttons_of_the_page_send(desk: Desk) -> None:
    page = desk.open()
    page.get_by_role("radio", name="Urgent").check()
    page.get_by_role("button", name="Send notification").click()
    expect(page.locator("#log")).to_contain_text("accepted")
    expect(count(uma(page))).to_have_text("1")
    page.get_by_role("radio", name="Hanna").check()
    page.get_by_role("button", name="Send notification").click()
    expect(count(hanna(page))).to_have_text("1")
    page.get_by_role("button", name="Broadcast").click()
    for half in (hanna(page), uma(page)):
        expect(count(half)).to_have_text("2")
    page.get_by_role("button", name="Burst of 20").click()
    expect(count(hanna(page))).to_have_text("22")
    bell(uma(page)).click()
    urgent = items(uma(page)).filter(has=page.locator(".item-priority"))
    expect(urgent).to_have_count(1)
    urgent.get_by_role("button", name="Accept").click()
    expect(page.locator("#log")).to_contain_text("Uma User pressed “Accept”")


def test_a_sound_plays_after_a_click(desk: Desk, service: RunningService) -> None:
    desk.context.add_init_script(LISTEN)
    page = desk.open()
    ring(service, UMA, "Silent", sound="chime")
    expect(count(uma(page))).to_have_text("1")
    assert page.evaluate("heard") == []
    page.get_by_role("heading", name="Notification service").click()
    until(page, "audio.some((each) => each.state === 'running')")
    ring(service, UMA, "Heard", sound="chime")
    until(page, "heard.length > 0")
    assert set(page.evaluate("heard")) == {"running"}
    before = page.evaluate("audio[0].currentTime")
    until(page, f"audio[0].currentTime > {before}")  # it really runs
    heard = page.evaluate("heard.length")
    ring(service, UMA, "No sound wanted", sound="none")
    expect(count(uma(page))).to_have_text("3")
    assert page.evaluate("heard.length") == heard


@pytest.mark.timeout(240)
def test_nothing_is_missed_and_nothing_comes_twice_when_the_server_is_killed(
    make_desk: Callable[..., Desk], service: RunningService
) -> None:
    desk = make_desk(knows_outages=True)
    page = desk.open()
    bell(uma(page)).click()
    ring(service, UMA, "Before")
    expect(items(uma(page), "Before")).to_have_count(1)
    later = datetime.now(UTC) + timedelta(hours=1)
    meanwhile = [ring(service, UMA, f"Meanwhile {number}", at=later) for number in range(3)]
    killed = kill_web(service)
    ask(service.local, "stop", "web")  # so that it stays away until all of them are sent
    wait_for_state(service.local, "web", "stopped")
    look(service, "UPDATE notification_record SET due_at = now() WHERE id = ANY(%s) RETURNING true", meanwhile)
    eventually(lambda: look(service, "SELECT count(*) FROM inbox_message WHERE id = ANY(%s)", meanwhile) == 3)
    expect(uma(page).locator(".connection")).to_have_attribute("data-state", "connecting")
    expect(items(uma(page), "Meanwhile")).to_have_count(0)
    service.start("web")
    wait_for_web(service, killed, uma(page))
    expect(items(uma(page), "Meanwhile")).to_have_count(3)
    expect(count(uma(page))).to_have_text("4")
    killed = kill_web(service)
    expect(uma(page).locator(".connection")).to_have_attribute("data-state", "connecting")
    wait_for_web(service, killed, uma(page))
    ring(service, UMA, "Afterwards")
    expect(items(uma(page), "Afterwards")).to_have_count(1)
    for title in ("Before", *(f"Meanwhile {number}" for number in range(3))):
        expect(items(uma(page), title)).to_have_count(1)
    expect(count(uma(page))).to_have_text("5")


def look(service: RunningService, query: LiteralString, ids: list[str]) -> Any:
    """Ask the database for one value of records, since nobody else is there."""
    postgres = local_setup(service.root, {}).postgres
    assert postgres is not None
    with psycopg.connect(postgres.superuser_url) as connection:
        row = connection.execute(query, [[UUID(each) for each in ids]]).fetchone()
    return row and row[0]


def test_tabs_agree_and_share_one_socket(desk: Desk, service: RunningService) -> None:
    first = desk.open()
    second = desk.open()
    tabs = (first, second)
    assert len(desk.open_sockets("/ws/notifications/")) == 2, "one a person, however many tabs"
    ids = [ring(service, UMA, f"Message {number}") for number in range(3)]
    for page in tabs:
        expect(count(uma(page))).to_have_text("3")
        bell(uma(page)).click()
        expect(items(uma(page))).to_have_count(3)
    read = uma(second).locator(f'article.item[data-id="{ids[1]}"]')
    read.hover()
    read.get_by_role("button", name="Mark as read", exact=True).click()
    for page in tabs:
        expect(count(uma(page))).to_have_text("2")
        expect(uma(page).locator("article.item[data-unread]")).to_have_count(2)
    assert len(desk.open_sockets("/ws/notifications/")) == 2


def test_when_the_tab_with_the_socket_closes_another_takes_over(desk: Desk, service: RunningService) -> None:
    first = desk.open()
    second = desk.open()
    bell(uma(second)).click()
    ring(service, UMA, "One")
    expect(items(uma(second), "One")).to_have_count(1)
    first.close()
    ring(service, UMA, "Two")
    expect(items(uma(second), "Two")).to_have_count(1)
    eventually(lambda: len(open_in(second, desk)) == 2)
    ring(service, UMA, "Three")
    expect(items(uma(second), "Three")).to_have_count(1)
    expect(items(uma(second))).to_have_count(3)
    expect(count(uma(second))).to_have_text("3")


def open_in(page: Page, desk: Desk) -> list[str]:
    """The addresses of the bell's open sockets; whoever looks lets the browser's news in."""
    page.evaluate("1")
    return [socket.url for socket in desk.open_sockets("/ws/notifications/")]


def test_what_came_while_one_was_offline_is_there_afterwards(
    make_desk: Callable[..., Desk], service: RunningService
) -> None:
    desk = make_desk(knows_outages=True)
    page = desk.open()
    desk.context.set_offline(True)
    expect(hanna(page).locator(".connection")).to_have_attribute("data-state", "offline")
    ring(service, HANNA, "While you were away")
    desk.context.set_offline(False)
    expect(count(hanna(page))).to_have_text("1")
    expect(hanna(page).locator(".connection")).to_have_attribute("data-state", "online")
    bell(hanna(page)).click()
    expect(items(hanna(page), "While you were away")).to_have_count(1)
