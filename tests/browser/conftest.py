"""A whole running service and a real browser in front of its demo page.

One service and one browser serve all tests of this package; each test has a browser context of its own (cookies,
storage, tabs). Where there is no browser the tests are skipped, and say so.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, WebSocket, expect, sync_playwright

from notification_service.local.control import ask
from tests.running_service import PATIENCE, READY_SECONDS, ROOT, Answer, RunningService, running_service, wait_until

#: The longest pause between two tries of a page to connect again (client/backoff.ts), in seconds.
LONGEST_PAUSE = 30.0
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SCREENSHOTS = ROOT / ".local" / "test-output" / "screenshots"
#: What the browser itself writes to the console when a server is away; everything else is a fault of ours.
OUTAGE = re.compile(r"net::ERR_|WebSocket connection to .* failed|status of 50\d")


def chromium() -> str | None:
    """Return the path of a browser, as scripts/chromium.sh finds it."""
    named = os.environ.get("CHROMIUM", "")
    return next((found for name in (named, *CHROMIUM) if name and (found := shutil.which(name))), None)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A headless Chromium.

    It ends with this package: while it runs its event loop is this thread's, and nobody else could use one.
    """
    path = chromium()
    if path is None:
        pytest.skip("NO BROWSER: there is no Chromium on this machine; sh scripts/chromium.sh installs or misses one")
    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"], timeout=PATIENCE * 1000)
        yield running
        running.close()


@pytest.fixture(scope="package")
def service(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """The service as ``make up`` runs it, with heartbeats quick enough to heal within a test."""
    settings = {
        "LIVE_HEARTBEAT_SECONDS": "5",
        "KAFKA_BOOTSTRAP_SERVERS": "",
        "ALERT_CHECK_SECONDS": "0",
        "SWEEP_SECONDS": "1",
    }
    with running_service(tmp_path_factory.mktemp("browser"), **settings) as running:
        yield running


@dataclass
class Desk:
    """One browser window with tabs of the demo page, and what its pages said on the console."""

    service: RunningService
    context: BrowserContext
    #: Whether the service or the network may go away while the window is open.
    knows_outages: bool = False
    faults: list[str] = field(default_factory=list)
    sockets: list[tuple[Page, WebSocket]] = field(default_factory=list)

    def open(self, *, path: str = "/demo/", ready: bool = True) -> Page:
        """Open another tab of the demo page, and wait until both people are connected."""
        page = self.context.new_page()
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self._note("error", str(error)))
        page.on("websocket", lambda socket: self.sockets.append((page, socket)))
        page.goto(self.service.demo["base_url"] + path)
        if ready:
            for who in (hanna(page), uma(page)):
                expect(who.locator(".connection")).to_have_attribute("data-state", "online")
        return page

    def _note(self, kind: str, text: str) -> None:
        if kind == "error" and not (self.knows_outages and OUTAGE.search(text)):
            self.faults.append(text)

    def open_sockets(self, path: str) -> list[WebSocket]:
        """Return the sockets to an address that are open in any tab."""
        return [
            socket
            for page, socket in self.sockets
            if path in socket.url and not page.is_closed() and not socket.is_closed()
        ]


@pytest.fixture
def make_desk(browser: Browser, service: RunningService) -> Iterator[Callable[..., Desk]]:
    """Make a browser window; at the end its pages must not have complained."""
    desks: list[Desk] = []

    def make(*, knows_outages: bool = False, **options: Any) -> Desk:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 860}, **options})
        context.set_default_timeout(PATIENCE * 1000)
        desks.append(Desk(service, context, knows_outages))
        return desks[-1]

    yield make
    for desk in desks:
        desk.context.close()
    faults = [text for desk in desks for text in desk.faults]
    assert faults == []


@pytest.fixture
def desk(make_desk: Callable[..., Desk]) -> Desk:
    """One browser window."""
    return make_desk()


@pytest.fixture(autouse=True)
def _empty_inboxes(service: RunningService) -> None:
    for who in (HANNA, UMA):
        answer = as_person(service, who, "DELETE", "/api/v1/users/me/notifications", {"all": True})
        assert answer.status in (200, 204), answer.body


# --- The two people ---------------------------------------------------------------------------------------------------

HANNA, UMA = 0, 1


def hanna(page: Page) -> Locator:
    """The half of the page that is Hanna's, who sends."""
    return page.locator(".person").nth(HANNA)


def uma(page: Page) -> Locator:
    """The half of the page that is Uma's, who receives."""
    return page.locator(".person").nth(UMA)


def as_person(service: RunningService, who: int, method: str, path: str, body: Any = None) -> Answer:
    """Call the service as one of the two, with a token as their page gets it."""
    return service.call(method, path, body, token=person(service, who)["token"])


def person(service: RunningService, who: int) -> dict[str, Any]:
    """Return who somebody on the page is, with a token."""
    return dict(service.call("POST", "/demo/people", token=None).body["people"][who])


def ring(service: RunningService, who: int, title: str, *, at: datetime | None = None, **content: Any) -> str:
    """Send somebody a notification, now or later, and return its id."""
    record = {
        "scheduled_at": at.isoformat() if at else None,
        "channel": "inapp",
        "recipient": person(service, who)["user_id"],
        "content": {"title": title, "body": "", **content},
        "lane": "critical",
    }
    sent = service.call("POST", "/api/notifications/records/", record)
    assert sent.status == 201, sent.body
    return str(sent.body["id"])


def bell(half: Locator) -> Locator:
    return half.locator("notification-inbox button.bell")


def count(half: Locator) -> Locator:
    """The number on the bell."""
    return half.locator("notification-inbox .bell .badge")


def items(half: Locator, title: str = "") -> Locator:
    """The messages of an open inbox, or those of a title."""
    return half.locator("notification-inbox article.item").filter(has_text=title)


def bubbles(half: Locator, text: str = "") -> Locator:
    """The chat messages that are shown, or those with a text."""
    return half.locator("notification-chat article.message").filter(has_text=text)


def field_of(half: Locator) -> Locator:
    return half.locator("notification-chat textarea")


def write(half: Locator, text: str) -> None:
    """Write a chat message and send it."""
    field_of(half).fill(text)
    field_of(half).press("Enter")


def kill_web(service: RunningService) -> int:
    """End the web server as a crash would, and return which process it was; the supervisor starts it again."""
    killed = service.pid("web")
    os.kill(killed, signal.SIGKILL)
    return killed


def wait_for_web(service: RunningService, killed: int, *halves: Locator) -> None:
    """Wait until another web server answers, and these people are connected to it.

    On a busy machine it takes its time to start, and the longer it was away, the rarer their tries have become.
    """

    def is_back() -> bool:
        (pid,) = [each["pid"] for each in ask(service.local, "status")["services"] if each["name"] == "web"]
        return pid not in (None, killed) and service.answers()

    wait_until(is_back, READY_SECONDS)
    for half in halves:
        online = half.locator(".connection")
        expect(online).to_have_attribute("data-state", "online", timeout=(LONGEST_PAUSE + PATIENCE) * 1000)


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until something is so that no element of a page shows."""
    wait_until(condition, PATIENCE)


def until(page: Page, expression: str, argument: Any = None) -> None:
    """Wait until an expression is true in the page, whose policy forbids what ``wait_for_function`` does."""
    eventually(lambda: bool(page.evaluate(expression, argument)))


def screenshot(page: Page, name: str) -> None:
    """Keep how the page looks, for people."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", animations="disabled")
