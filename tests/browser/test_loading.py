"""What the bell loads when: little at once, the panel's contents before they are wanted, and again if that failed."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import UMA, Desk, bell, count, eventually, items, ring, uma, until
from tests.running_service import RunningService

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("browser")]

CONTENTS = re.compile(r"/demo/files/contents-\w+\.js")
LOADED = "(part) => performance.getEntriesByType('resource').some((each) => each.name.includes(part))"


def heading(half: Locator) -> Locator:
    return half.locator("notification-inbox .title")


def focused_list(half: Locator) -> Locator:
    """The list, or a message in it, if it has the focus."""
    return half.locator("notification-inbox").locator(".scroller:focus, .item:focus")


def test_the_contents_come_while_the_page_is_idle(desk: Desk, service: RunningService) -> None:
    page = desk.open()
    ring(service, UMA, "At once")
    expect(count(uma(page))).to_have_text("1")
    until(page, LOADED, "/contents-")
    assert not page.evaluate(LOADED, "/de-"), "nobody reads German here"
    page.route(CONTENTS, lambda route: route.abort())  # nothing more is needed
    bell(uma(page)).click()
    expect(items(uma(page), "At once")).to_be_visible()
    expect(focused_list(uma(page))).to_have_count(1)


def test_who_opens_before_they_have_come_waits_in_the_panel(desk: Desk, service: RunningService) -> None:
    held: list[Route] = []
    desk.context.route(CONTENTS, lambda route: held.append(route))
    page = desk.open()
    ring(service, UMA, "Waited for")
    expect(count(uma(page))).to_have_text("1")
    bell(uma(page)).press("Enter")
    expect(bell(uma(page))).to_have_attribute("aria-expanded", "true")
    expect(heading(uma(page))).to_be_visible()
    expect(uma(page).get_by_text("Loading notifications")).to_be_attached()
    expect(uma(page).locator("notification-inbox .panel")).to_be_focused()
    for route in held:
        route.continue_()
    expect(items(uma(page), "Waited for")).to_be_visible()
    expect(focused_list(uma(page))).to_have_count(1)
    expect(uma(page).get_by_text("Loading notifications")).to_have_count(0)


def test_contents_that_can_not_be_loaded_are_an_error_that_can_be_retried(
    make_desk: Callable[..., Desk], service: RunningService
) -> None:
    desk = make_desk(knows_outages=True)
    asked: list[str] = []

    def fail(route: Route) -> None:
        asked.append(route.request.url)
        route.abort()

    desk.context.route(CONTENTS, fail)
    page = desk.open()
    ring(service, UMA, "In the end")
    expect(count(uma(page))).to_have_text("1")
    bell(uma(page)).press("Enter")
    error = uma(page).get_by_role("alert").filter(has_text="Notifications could not be loaded")
    expect(error).to_be_visible()
    expect(bell(uma(page))).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Escape")
    expect(bell(uma(page))).to_be_focused()
    expect(error).to_be_hidden()
    page.keyboard.press("Enter")
    expect(error).to_be_visible()

    before = len(asked)
    retry = error.get_by_role("button", name="Try again")
    retry.focus()
    page.keyboard.press("Enter")
    eventually(lambda: bool(page.evaluate("true")) and len(asked) > before)  # whoever looks lets the browser's news in
    expect(error).to_be_visible()
    assert len(asked) == before + 1, "it was really tried again"
    assert "again=" in asked[-1], "some browsers ask no address again that has failed"
    desk.context.unroute(CONTENTS)
    retry.click()
    expect(items(uma(page), "In the end")).to_be_visible()
    expect(focused_list(uma(page))).to_have_count(1)
    expect(error).to_have_count(0)
    expect(uma(page).get_by_role("tab", name="Unread")).to_be_visible()


def test_another_language_is_there_before_a_word_of_it_is_shown(desk: Desk) -> None:
    page = desk.open()
    watch_words(page)
    inbox = uma(page).locator("notification-inbox")
    inbox.evaluate("(element) => (element.lang = 'de-AT')")
    expect(bell(uma(page))).to_have_attribute("aria-label", "Mitteilungen")
    assert page.evaluate(LOADED, "/de-")
    bell(uma(page)).click()
    expect(uma(page).get_by_text("Alles erledigt")).to_be_visible()
    assert set(page.evaluate("seen")) == {"Mitteilungen"}
    inbox.evaluate("(element) => (element.lang = 'pt-BR')")
    expect(heading(uma(page))).to_have_text("Notificações")
    inbox.evaluate("(element) => (element.lang = 'fr')")
    expect(heading(uma(page))).to_have_text("Notifications")


def watch_words(page: Page) -> None:
    """From now on keep in ``seen`` what each bell of Uma's that appears is called, and the panel's heading."""
    page.evaluate(
        """() => {
            window.seen = [];
            const root = document.querySelectorAll("notification-inbox")[1].shadowRoot;
            new MutationObserver(() => {
                const bell = root.querySelector(".bell");
                if (bell) seen.push(bell.getAttribute("aria-label"), root.querySelector(".title").textContent);
            }).observe(root, { childList: true, subtree: true, attributes: true });
        }"""
    )
