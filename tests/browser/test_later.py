"""Snoozing and deleting in the inbox: by pointer, by keyboard, in other languages; every tab and the service agree."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.accessibility import faults, settle
from tests.browser.conftest import UMA, Desk, as_person, bell, count, eventually, items, ring, screenshot, uma
from tests.running_service import RunningService

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("browser")]

MINE = "/api/v1/users/me/notifications"


def opened(desk: Desk, service: RunningService, *titles: str) -> Page:
    """A tab with Uma's inbox open, and messages with these titles in it."""
    page = desk.open()
    for title in titles:
        ring(service, UMA, title, body="Fourth floor, room Ada.")
    expect(count(uma(page))).to_have_text(str(len(titles)))
    bell(uma(page)).click()
    expect(items(uma(page))).to_have_count(len(titles))
    return page


def menu(page: Page, title: str, tool: str) -> Locator:
    """The menu that a tool of a message opens."""
    items(uma(page), title).hover()
    items(uma(page), title).get_by_role("button", name=tool, exact=True).click()
    opened = uma(page).get_by_role("menu", name=tool)
    expect(opened).to_be_visible()
    return opened


def listed(service: RunningService, status: str) -> list[dict[str, Any]]:
    """What the service has of Uma's messages."""
    return list(as_person(service, UMA, "GET", f"{MINE}?status={status}").body["results"])


def stores(service: RunningService, status: str, *titles: str) -> None:
    """Wait until these are what the service has: the page shows what was done before it is stored."""
    eventually(lambda: [each["title"] for each in listed(service, status)] == [*titles])


def show(page: Page, view: str) -> None:
    uma(page).get_by_role("tab", name=view).click()


def test_snoozed_until_tomorrow_and_back(desk: Desk, service: RunningService) -> None:
    other = desk.open()
    page = opened(desk, service, "Interview", "Comment")
    menu(page, "Interview", "Snooze").get_by_role("menuitem", name="Tomorrow").click()
    expect(items(uma(page))).to_have_count(1)
    expect(uma(page).get_by_role("status").filter(has_text="Snoozed until")).to_be_visible()
    for each in (page, other):
        expect(count(uma(each))).to_have_text("1")
    stores(service, "snoozed", "Interview")
    [snoozed] = listed(service, "snoozed")
    until = datetime.fromisoformat(snoozed["snoozed_until"])
    there = page.evaluate(
        "(moment) => { const d = new Date(moment); return [d.getHours(), d.getMinutes()]; }", str(until)
    )
    assert there == [8, 0], "in the morning, by the person's own clock"
    assert 0 < (until - datetime.now(UTC)).total_seconds() <= 33 * 3600

    show(page, "Snoozed")
    expect(items(uma(page), "Interview")).to_contain_text("Snoozed until")
    items(uma(page), "Interview").hover()
    items(uma(page), "Interview").get_by_role("button", name="Move to inbox").click()
    expect(uma(page).get_by_text("Nothing snoozed")).to_be_visible()
    show(page, "All")
    expect(items(uma(page))).to_have_count(2)
    stores(service, "snoozed")


def test_a_snooze_can_be_undone(desk: Desk, service: RunningService) -> None:
    page = opened(desk, service, "Interview")
    menu(page, "Interview", "Snooze").get_by_role("menuitem", name="Next week").click()
    expect(uma(page).get_by_text("You’re all caught up")).to_be_visible()
    uma(page).get_by_role("button", name="Undo").click()
    expect(items(uma(page), "Interview")).to_have_count(1)
    expect(count(uma(page))).to_have_text("1")
    stores(service, "snoozed")


def test_deleting_asks_first_and_is_for_good(desk: Desk, service: RunningService) -> None:
    other = desk.open()
    page = opened(desk, service, "Interview", "Comment")
    menu(page, "Interview", "Delete")
    page.keyboard.press("Escape")
    expect(uma(page).get_by_role("menu")).to_have_count(0)
    expect(bell(uma(page))).to_have_attribute("aria-expanded", "true")
    expect(items(uma(page))).to_have_count(2)
    menu(page, "Interview", "Delete").get_by_role("menuitem", name="Delete for good").click()
    expect(items(uma(page))).to_have_count(1)
    for each in (page, other):
        expect(count(uma(each))).to_have_text("1")
    stores(service, "all", "Comment")


def test_what_can_not_be_deleted_comes_back(desk: Desk, service: RunningService) -> None:
    desk.knows_outages = True
    page = opened(desk, service, "Interview")
    page.route(re.compile(f"{MINE}/[0-9a-f-]+$"), lambda route: route.fulfill(status=503, json={"detail": "Not now."}))
    menu(page, "Interview", "Delete").get_by_role("menuitem").click()
    expect(uma(page).get_by_text("That could not be saved.")).to_be_visible()
    expect(items(uma(page), "Interview")).to_have_count(1)


def test_both_work_by_keyboard(desk: Desk, service: RunningService) -> None:
    page = opened(desk, service, "Interview", "Comment")
    comment = items(uma(page), "Comment")
    page.keyboard.press("Home")
    expect(comment).to_be_focused()
    press(page, "Tab", "Tab", "Tab", "Enter")
    choices = uma(page).get_by_role("menuitem")
    expect(choices.first).to_be_focused()
    snooze = comment.get_by_role("button", name="Snooze")
    expect(snooze).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowUp")
    expect(choices.last).to_be_focused()
    page.keyboard.press("Tab")
    expect(choices).to_have_count(0)
    expect(snooze).to_be_focused()
    expect(snooze).to_have_attribute("aria-expanded", "false")
    press(page, "Enter", "End", "Enter")
    expect(comment).to_have_count(0)
    expect(items(uma(page), "Interview")).to_be_focused()
    press(page, "Tab", "Tab", "Tab", "Tab", "Enter", "Enter")
    expect(uma(page).get_by_text("You’re all caught up")).to_be_visible()
    stores(service, "all", "Comment")
    page.keyboard.press("Escape")
    expect(bell(uma(page))).to_be_focused()


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_menus_and_the_snoozed_view_are_accessible(make_desk: Any, service: RunningService, scheme: str) -> None:
    page = opened(make_desk(color_scheme=scheme, reduced_motion="reduce"), service, "Interview", "Comment")
    for tool in ("Snooze", "Delete"):
        menu(page, "Comment", tool)
        settle(page)
        screenshot(page, f"{tool.lower()}-{scheme}")
        assert faults(page) == []
        page.keyboard.press("Escape")
    menu(page, "Comment", "Snooze").get_by_role("menuitem", name="Tomorrow").click()
    show(page, "Snoozed")
    expect(items(uma(page), "Comment")).to_be_visible()
    settle(page)
    screenshot(page, f"snoozed-{scheme}")
    assert faults(page) == []


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("de", ("Später erinnern", "Morgen", "Zurückgestellt bis", "Löschen", "Endgültig löschen")),
        ("pt-BR", ("Adiar", "Amanhã", "Adiada até", "Excluir", "Excluir para sempre")),
    ],
)
def test_in_other_languages(desk: Desk, service: RunningService, language: str, words: tuple[str, ...]) -> None:
    snooze, tomorrow, until, delete, for_good = words
    page = desk.open()
    uma(page).locator("notification-inbox").evaluate("(element, language) => (element.lang = language)", language)
    for title in ("Interview", "Comment"):
        ring(service, UMA, title)
    expect(count(uma(page))).to_have_text("2")
    bell(uma(page)).click()
    choice = menu(page, "Comment", snooze).get_by_role("menuitem", name=re.compile(tomorrow, re.IGNORECASE))
    choice.click()
    expect(uma(page).get_by_text(until)).to_be_visible()
    expect(menu(page, "Interview", delete).get_by_role("menuitem")).to_have_text(for_good)
