"""Chat between two people in a real browser, without reload."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from functools import partial
from uuid import uuid4

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import (
    HANNA,
    UMA,
    Desk,
    as_person,
    bubbles,
    eventually,
    field_of,
    hanna,
    kill_web,
    person,
    uma,
    wait_for_web,
    write,
)
from tests.running_service import RunningService

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("browser")]

CHAT = "/api/notifications/chat"


def words() -> str:
    """Something that nobody has said before."""
    return f"Hello {uuid4().hex[:12]}"


def own(half: Locator, text: str) -> Locator:
    return half.locator("notification-chat article.message.own").filter(has_text=text)


def tool(half: Locator, text: str, name: str) -> Locator:
    """A button of a message, after the pointer has moved there."""
    bubbles(half, text).hover()
    return bubbles(half, text).get_by_role("toolbar").get_by_role("button", name=name, exact=True)


def typing(half: Locator) -> Locator:
    """Where a chat says who types."""
    return half.locator("notification-chat .typing")


def type_until_seen(half: Locator, name: str, *others: Locator) -> None:
    """Type until the others are told so: both may still be joining the conversation; people type more than a letter."""

    def is_seen() -> bool:
        field_of(half).press("H")
        return all(typing(other).text_content() == f"{name} is typing …" for other in others)

    eventually(is_seen)


def test_a_message_its_receipt_and_typing(desk: Desk) -> None:
    page = desk.open()
    text = words()
    type_until_seen(hanna(page), "Hanna HR", uma(page))
    write(hanna(page), text)
    expect(bubbles(uma(page), text)).to_have_count(1)
    expect(typing(uma(page))).to_have_text("")
    expect(own(hanna(page), text).locator(".tick")).to_have_attribute("data-state", "read")
    expect(field_of(hanna(page))).to_have_value("")
    expect(field_of(hanna(page))).to_be_focused()
    answer = words()
    write(uma(page), answer)
    expect(bubbles(hanna(page), answer)).to_have_count(1)
    expect(hanna(page).locator("notification-chat .thread > header p")).to_have_text("Online")


def test_reactions_replies_edits_and_deletions(desk: Desk) -> None:
    page = desk.open()
    text = words()
    write(hanna(page), text)
    tool(uma(page), text, "React").click()
    bubbles(uma(page), text).get_by_role("button", name="React with 🎉").click()
    for half, pressed in ((hanna(page), "false"), (uma(page), "true")):
        reaction = bubbles(half, text).locator(".reactions button")
        expect(reaction).to_have_text("🎉1")
        expect(reaction).to_have_attribute("aria-pressed", pressed)
    bubbles(hanna(page), text).locator(".reactions button").click()
    expect(bubbles(uma(page), text).locator(".reactions button")).to_have_text("🎉2")

    answer = words()
    tool(uma(page), text, "Reply").click()
    write(uma(page), answer)
    expect(bubbles(hanna(page), answer).locator(".quote")).to_contain_text(text)

    better = words()
    tool(uma(page), answer, "Edit").click()
    expect(field_of(uma(page))).to_have_value(answer)
    write(uma(page), better)
    expect(bubbles(hanna(page), better)).to_contain_text("edited")
    expect(bubbles(hanna(page), answer)).to_have_count(0)

    tool(uma(page), better, "Delete").click()
    uma(page).get_by_role("button", name="Delete for everybody?").click()
    expect(bubbles(hanna(page), better)).to_have_count(0)
    expect(bubbles(hanna(page), "This message was deleted.").last).to_be_visible()


def test_files_and_pictures(desk: Desk) -> None:
    page = desk.open()
    name = f"{uuid4().hex[:8]}.txt"
    chooser = uma(page).locator("notification-chat input[type=file]")
    chooser.set_input_files({"name": name, "mimeType": "text/plain", "buffer": b"My references"})
    expect(uma(page).locator("notification-chat .chip")).to_contain_text(name)
    field_of(uma(page)).press("Enter")
    download = bubbles(hanna(page), name).get_by_role("button", name=f"Download {name}")
    with page.expect_download() as started:
        download.click()
    assert started.value.path().read_bytes() == b"My references"

    caption = words()
    chooser.set_input_files({"name": "room.png", "mimeType": "image/png", "buffer": picture()})
    write(uma(page), caption)
    for half in (hanna(page), uma(page)):
        shown = bubbles(half, caption).locator("img")
        expect(shown).to_have_attribute("src", re.compile("/api/notifications/chat/files/"))
        eventually(lambda shown=shown: bool(shown.evaluate("(img) => img.complete && img.naturalWidth === 48")))


def picture() -> bytes:
    """A PNG of 48 × 32 pixels (RFC 2083)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(value for x in range(48) for value in (80 + 3 * x, 110, 200)) for _ in range(32))
    header = struct.pack(">IIBBBBB", 48, 32, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_what_waited_offline_is_sent_once(make_desk: Callable[..., Desk]) -> None:
    away = make_desk(knows_outages=True)
    page, other = away.open(), make_desk().open()
    texts = [words() for _ in range(3)]
    away.context.set_offline(True)
    expect(hanna(page).locator("notification-chat .banner")).to_contain_text("You are offline")
    for text in texts:
        write(hanna(page), text)
        expect(own(hanna(page), text).locator(".tick")).to_have_attribute("data-state", re.compile("waiting|sending"))
    away.context.set_offline(False)
    for text in texts:
        expect(bubbles(uma(other), text)).to_have_count(1)
        expect(own(hanna(page), text).locator(".tick")).to_have_attribute("data-state", re.compile("sent|read"))
        expect(own(hanna(page), text)).to_have_count(1)
    assert said(uma(other), texts) == texts


def said(half: Locator, texts: list[str]) -> list[str]:
    """These texts in the order in which they stand."""
    shown = bubbles(half).all_text_contents()
    return [text for each in shown for text in texts if text in each]


@pytest.mark.timeout(240)
def test_a_killed_server_loses_no_message_and_doubles_none(
    make_desk: Callable[..., Desk], service: RunningService
) -> None:
    page = make_desk(knows_outages=True).open()
    texts = [words() for _ in range(6)]
    for text in texts[:3]:
        write(hanna(page), text)
    killed = kill_web(service)
    for text in texts[3:]:
        write(hanna(page), text)
    wait_for_web(service, killed, hanna(page), uma(page))
    for half in (uma(page), hanna(page)):
        for text in texts:
            expect(bubbles(half, text)).to_have_count(1)
    expect(own(hanna(page), texts[-1]).locator(".tick")).to_have_attribute("data-state", "read")
    assert said(uma(page), texts) == texts


def test_tabs_share_one_socket_and_agree(desk: Desk) -> None:
    first, second = desk.open(), desk.open()
    assert len(desk.open_sockets("/ws/chat/")) == 2, "one a person, however many tabs"
    text = words()
    type_until_seen(uma(second), "Uma User", hanna(first), hanna(second))
    write(uma(second), text)
    for page in (first, second):
        for half in (hanna(page), uma(page)):
            expect(bubbles(half, text)).to_have_count(1)
        expect(typing(hanna(page))).to_have_text("")
        expect(own(uma(page), text).locator(".tick")).to_have_attribute("data-state", "read")
        expect(hanna(page).locator("notification-chat .thread > header p")).to_have_text("Online")
    tool(hanna(second), text, "React").click()
    bubbles(hanna(second), text).get_by_role("button", name="React with 🎉").click()
    for page in (first, second):
        expect(bubbles(uma(page), text).locator(".reactions button")).to_have_text("🎉1")
    assert len(desk.open_sockets("/ws/chat/")) == 2


def test_when_the_tab_with_the_socket_closes_another_takes_over(desk: Desk) -> None:
    first, second = desk.open(), desk.open()
    before = words()
    write(hanna(second), before)
    expect(bubbles(uma(second), before)).to_have_count(1)
    meanwhile, after = words(), words()
    write(hanna(second), meanwhile)
    first.close()
    write(uma(second), after)
    for half in (hanna(second), uma(second)):
        for text in (before, meanwhile, after):
            expect(bubbles(half, text)).to_have_count(1)
    expect(own(uma(second), after).locator(".tick")).to_have_attribute("data-state", "read")
    type_until_seen(hanna(second), "Hanna HR", uma(second))
    second.evaluate("1")  # lets the browser's news in
    assert len(desk.open_sockets("/ws/chat/")) == 2


def test_history_is_loaded_as_one_scrolls_up(desk: Desk, service: RunningService) -> None:
    title = f"Offsite {uuid4().hex[:6]}"
    members = [person(service, who)["user_id"] for who in (HANNA, UMA)]
    group = {"kind": "group", "title": title, "user_ids": [members[UMA]]}
    made = as_person(service, HANNA, "POST", f"{CHAT}/conversations/", group).body["id"]

    def has_said(number: int) -> bool:
        path, message = f"{CHAT}/conversations/{made}/messages/", {"text": f"Idea number {number}."}
        answer = as_person(service, (HANNA, UMA)[number % 2], "POST", path, message)
        assert answer.status in (201, 429), answer.body
        return answer.status == 201  # nobody may say much more than this in ten seconds, whatever they said before

    for number in range(56):
        eventually(partial(has_said, number))
    page = desk.open()
    hanna(page).get_by_role("button", name="All chats").click()
    entry = hanna(page).get_by_role("button", name=re.compile(title))
    expect(entry).to_contain_text("Idea number 55.")
    entry.click()
    expect(bubbles(hanna(page), "Idea number 55.")).to_be_visible()
    expect(bubbles(hanna(page), "Idea number 3.")).to_have_count(0)
    log = hanna(page).get_by_role("log")
    # Whoever scrolls while it is still opening is taken to its end once more.
    scrolled_up = "(log) => log.textContent.includes('Idea number 3.') || log.scrollTo(0, 0)"
    eventually(lambda: bool(log.evaluate(scrolled_up)))
    expect(bubbles(hanna(page), "Idea number 3.")).to_have_count(1)
    # What was looked at stays where it is: nobody is thrown to the very beginning.
    assert log.evaluate("(log) => log.scrollTop") > 500
    log.evaluate("(log) => log.scrollTo(0, 0)")
    expect(hanna(page).locator("notification-chat .system").first).to_be_in_viewport()
    expect(bubbles(hanna(page))).to_have_count(56)


def test_what_is_unread_is_marked(desk: Desk) -> None:
    page = desk.open()
    hanna(page).get_by_role("button", name="All chats").click()
    text = words()
    write(uma(page), text)
    entry = hanna(page).get_by_role("button", name=re.compile("Uma User"))
    expect(entry).to_contain_text(text)
    expect(entry.locator(".badge")).to_have_text("1")
    expect(own(uma(page), text).locator(".tick")).to_have_attribute("data-state", "sent")
    entry.click()
    expect(hanna(page).get_by_role("separator", name="New messages")).to_be_visible()
    expect(own(uma(page), text).locator(".tick")).to_have_attribute("data-state", "read")
