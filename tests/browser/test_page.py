"""The demo page as everybody uses it: keyboard, screen reader, phone; and what hostile words do to it (nothing)."""

from __future__ import annotations

import re
from collections.abc import Callable
from uuid import uuid4

import pytest
from playwright.sync_api import FloatRect, Locator, Page, expect

from tests.browser.accessibility import faults, settle
from tests.browser.conftest import (
    HANNA,
    UMA,
    Desk,
    as_person,
    bell,
    bubbles,
    count,
    field_of,
    hanna,
    items,
    ring,
    screenshot,
    uma,
    write,
)
from tests.running_service import RunningService

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("browser")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(make_desk: Callable[..., Desk], service: RunningService, scheme: str) -> None:
    page = make_desk(color_scheme=scheme, reduced_motion="reduce").open()
    text = f"Have a look: https://example.com/{uuid4().hex[:6]}"
    write(hanna(page), text)
    expect(bubbles(uma(page), text)).to_have_count(1)
    field_of(uma(page)).press_sequentially("x")
    bubbles(hanna(page), text).hover()
    ring(service, UMA, "Offer ready to sign", body="Valid for two weeks.", priority="urgent", actions=ACTIONS)
    ring(service, UMA, "A new comment", body="Looks good to me.", priority="low")
    expect(count(uma(page))).to_have_text("2")
    settle(page)
    screenshot(page, f"page-{scheme}")
    assert faults(page) == []
    bell(uma(page)).click()
    expect(items(uma(page))).to_have_count(2)
    settle(page)
    screenshot(page, f"inbox-{scheme}")
    assert faults(page) == []
    page.keyboard.press("Escape")
    hanna(page).get_by_role("button", name="All chats").click()
    settle(page)
    screenshot(page, f"chats-{scheme}")
    assert faults(page) == []


ACTIONS = [{"label": "Accept", "callback": "accept"}, {"label": "Calendar", "url": "/demo/#calendar"}]


def test_a_phone_shows_everything(make_desk: Callable[..., Desk], service: RunningService) -> None:
    page = make_desk(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True).open()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, "nothing sticks out"
    expect(bubbles(hanna(page)).last).to_be_visible()
    screenshot(page, "phone-top")
    ring(service, UMA, "Interview on Thursday", body="Fourth floor, room Ada.", actions=ACTIONS)
    expect(count(uma(page))).to_have_text("1")
    bell(uma(page)).tap()
    expect(items(uma(page), "Interview on Thursday")).to_be_in_viewport()
    settle(page)
    screenshot(page, "phone-inbox")
    assert faults(page) == []
    uma(page).get_by_role("button", name="Close").tap()
    uma(page).get_by_role("log").scroll_into_view_if_needed()
    settle(page)
    screenshot(page, "phone-chat")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert faults(page) == []


def test_a_narrow_phone_reaches_every_view(make_desk: Callable[..., Desk], service: RunningService) -> None:
    page = make_desk(viewport={"width": 320, "height": 640}, is_mobile=True, has_touch=True).open()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320, "nothing sticks out"
    ring(service, UMA, "Donaudampfschifffahrtsgesellschaftskapitän" * 4, body="Fourth floor.", actions=ACTIONS)
    expect(count(uma(page))).to_have_text("1")
    bell(uma(page)).tap()
    expect(items(uma(page))).to_be_in_viewport()
    for tab in uma(page).get_by_role("tab").all():
        expect(tab).to_be_in_viewport(ratio=1)
    title, tools = items(uma(page)).locator(".item-title"), items(uma(page)).locator(".item-tools")
    assert box(title)["height"] < 80, "a long title is cut"
    assert box(tools)["y"] > box(items(uma(page)).locator(".actions"))["y"], "tools cover no words"
    settle(page)
    screenshot(page, "phone-narrow")
    assert faults(page) == []


def test_it_can_be_read_from_right_to_left(desk: Desk, service: RunningService) -> None:
    page = desk.open()
    page.evaluate("document.documentElement.dir = 'rtl'")
    ring(service, UMA, "مقابلة يوم الخميس", body="الطابق الرابع، غرفة آدا.", actions=ACTIONS)
    expect(count(uma(page))).to_have_text("1")
    bell(uma(page)).click()
    message = items(uma(page), "مقابلة")
    message.hover()
    mark, tools = box(message.locator(".item-mark")), box(message.locator(".item-tools"))
    assert tools["x"] + tools["width"] < mark["x"], "what stands at the end stands at the left"
    tabs = uma(page).get_by_role("tab")
    tabs.first.focus()
    page.keyboard.press("ArrowLeft")
    expect(tabs.nth(1)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(tabs.first).to_be_focused()
    settle(page)
    screenshot(page, "right-to-left")
    assert faults(page) == []


def box(element: Locator) -> FloatRect:
    """Where an element stands."""
    found = element.bounding_box()
    assert found is not None
    return found


def test_everything_can_be_done_by_keyboard(desk: Desk, service: RunningService) -> None:
    page = desk.open()
    ring(service, HANNA, "Offer signed", actions=ACTIONS)
    expect(count(hanna(page))).to_have_text("1")
    walk_to(page, "bell")
    page.keyboard.press("Enter")
    expect(items(hanna(page), "Offer signed")).to_have_count(1)
    page.keyboard.press("Tab")
    walk_to(page, "item")
    walk_to(page, "action", "Accept")
    page.keyboard.press("Enter")
    expect(page.locator("#log")).to_contain_text("Hanna HR pressed “Accept”")
    expect(count(hanna(page))).to_be_hidden()
    page.keyboard.press("Escape")
    expect(bell(hanna(page))).to_be_focused()

    text = f"By keyboard {uuid4().hex[:8]}"
    walk_to(page, "TEXTAREA")
    page.keyboard.type(text)
    page.keyboard.press("Enter")
    expect(bubbles(uma(page), text)).to_have_count(1)
    mine = bubbles(hanna(page), text)
    # Then it is not drawn anew while its tools are open.
    expect(mine.locator(".tick")).to_have_attribute("data-state", "read")
    page.keyboard.press("ArrowUp")
    expect(field_of(hanna(page))).to_have_value(text)
    page.keyboard.type(", changed")
    page.keyboard.press("Enter")
    for half in (hanna(page), uma(page)):
        expect(bubbles(half, f"{text}, changed")).to_have_count(1)
    hanna(page).get_by_role("log").focus()
    page.keyboard.press("End")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # React
    page.keyboard.press("Enter")  # 👍
    expect(bubbles(uma(page), text).locator(".reactions button")).to_have_text("👍1")


def walk_to(page: Page, what: str, text: str = "") -> None:
    """Press Tab until an element of a class or a kind has the focus."""
    for _ in range(60):
        if page.evaluate(
            """([what, text]) => {
                let active = document.activeElement;
                while (active?.shadowRoot?.activeElement) active = active.shadowRoot.activeElement;
                const fits = active?.classList.contains(what) || active?.tagName === what;
                return fits && active.textContent.includes(text);
            }""",
            [what, text],
        ):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"the Tab key does not reach {what} {text}")


HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script><svg onload=window.hacked=1>'


def test_hostile_words_do_nothing(desk: Desk, service: RunningService) -> None:
    page = desk.open()
    mark = uuid4().hex[:8]
    link = (
        f"javascript:window.hacked=1//{mark} data:text/html,<script>hacked=1</script> https://example.com/{mark}?a=<b>"
    )
    write(uma(page), f"{mark} {HOSTILE}")
    write(uma(page), link)
    for half in (hanna(page), uma(page)):
        expect(bubbles(half, f"{mark} {HOSTILE}")).to_have_count(1)
        expect(bubbles(half, f"javascript:window.hacked=1//{mark}")).to_have_count(1)
    links = bubbles(hanna(page), mark).locator("a")
    hrefs = links.evaluate_all("(all) => all.map((each) => each.href)")
    assert hrefs == [f"https://example.com/{mark}?a="]
    ring(service, UMA, HOSTILE, body=HOSTILE, data={"html": HOSTILE})
    bell(uma(page)).click()
    expect(items(uma(page), "<img src=x")).to_have_count(1)
    made = page.locator("notification-inbox, notification-chat").locator("script, iframe, [onload], [onerror], [src=x]")
    expect(made).to_have_count(0)
    assert page.evaluate("window.hacked") is None


def test_a_link_that_runs_a_program_is_no_link(desk: Desk, service: RunningService) -> None:
    """The service refuses such addresses; should one come all the same, the component shows plain words."""
    page = desk.open()
    page.evaluate(
        """() => {
            const bell = document.querySelectorAll("notification-inbox")[1];
            window.found = [];
            new MutationObserver(() => {
                for (const link of bell.shadowRoot.querySelectorAll("a")) window.found.push(link.href);
            }).observe(bell.shadowRoot, { childList: true, subtree: true });
        }"""
    )

    def poison(route) -> None:  # type: ignore[no-untyped-def]
        answer = route.fetch()
        text = answer.text().replace("/demo/#calendar", "javascript:window.hacked=1")
        route.fulfill(response=answer, body=text)

    ring(service, UMA, "Poisoned", actions=[{"label": "Now", "url": "/demo/#calendar"}])
    page.route("**/api/notifications/**", poison)
    bell(uma(page)).click()
    expect(items(uma(page), "Poisoned")).to_have_count(1)
    assert not [href for href in page.evaluate("found") if href.startswith("javascript:")]
    assert page.evaluate("window.hacked") is None


def test_the_colours_can_be_chosen(desk: Desk) -> None:
    page = desk.open()
    page.get_by_role("button", name="Switch to dark colours").click()
    background = "(element) => getComputedStyle(element).backgroundColor"
    assert page.locator("notification-chat").first.evaluate(background) == "rgb(22, 24, 29)"
    page.get_by_role("button", name="Switch to light colours").click()
    assert page.locator("notification-chat").first.evaluate(background) == "rgb(255, 255, 255)"


def test_empty_and_failed_states(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk(knows_outages=True)
    desk.context.route("**/api/notifications/chat/conversations/**", lambda route: route.fulfill(json=NOTHING))
    page = desk.open()
    expect(page.get_by_text("No conversations yet").first).to_be_visible()
    bell(uma(page)).click()
    expect(uma(page).get_by_text("You’re all caught up")).to_be_visible()
    settle(page)
    screenshot(page, "empty")

    desk = make_desk(knows_outages=True)
    failing = {"status": 503, "json": {"detail": "The database does not answer.", "code": "unavailable"}}
    lists = re.compile("/api/(v1/users/me/notifications|notifications/chat/conversations/)([?]|$)")
    desk.context.route(lists, lambda route: route.fulfill(**failing))
    page = desk.open()
    expect(page.get_by_text("This could not be loaded.").first).to_be_visible()
    bell(uma(page)).click()
    expect(uma(page).get_by_text("Notifications could not be loaded")).to_be_visible()
    settle(page)
    screenshot(page, "failed")
    desk.context.unroute_all()
    hanna(page).get_by_role("button", name="Try again").first.click()
    expect(hanna(page).get_by_role("button", name="Uma User").first).to_be_visible()


NOTHING: dict[str, object] = {"count": 0, "next": None, "previous": None, "results": []}


def test_the_demo_is_announced(service: RunningService, desk: Desk) -> None:
    assert service.demo["demo_url"] == f"{service.demo['base_url']}/demo/"
    panel = (service.root / "up.log").read_text(encoding="utf-8")
    assert service.demo["demo_url"] in panel
    assert as_person(service, UMA, "GET", "/api/v1/notifications/stats").status == 403, "she may only what is hers"
