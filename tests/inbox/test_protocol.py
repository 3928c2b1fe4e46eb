"""The document of the sockets agrees with itself and with the code; that frames agree is checked by every client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from messaging.sockets import commands as chat
from notifications.inbox.socket import commands as inbox
from tests.inbox.protocol import PROTOCOL, check, named


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def found(reference: str) -> Any:
    node: Any = PROTOCOL
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return node


def test_whatever_it_refers_to_is_there_and_nothing_else() -> None:
    used = set(references(PROTOCOL))
    for reference in used:
        assert found(reference) is not None
    for kind in ("messages", "schemas", "securitySchemes"):
        for name in PROTOCOL["components"][kind]:
            assert f"#/components/{kind}/{name}" in used, "described and never used"


@pytest.mark.parametrize(("channel", "handlers"), [("notifications", inbox.HANDLERS), ("chat", chat.HANDLERS)])
def test_it_has_every_command_and_every_frame_once(channel: str, handlers: dict[str, Any]) -> None:
    commands, events = named(f"{channel}_commands"), named(f"{channel}_events")
    assert commands == set(handlers)
    of_channel = PROTOCOL["channels"][channel]["messages"]
    assert set(of_channel) == commands | events
    for name, reference in of_channel.items():
        assert reference == {"$ref": f"#/components/messages/{channel}.{name}"}


def test_the_longer_addresses_speak_the_same() -> None:
    channels = PROTOCOL["channels"]
    for longer in ("notifications_of_tenant", "notifications_of_person"):
        assert channels[longer]["messages"] == channels["notifications"]["messages"]
        assert {f"{{{name}}}" for name in channels[longer]["parameters"]} == {
            part for part in channels[longer]["address"].split("/") if part.startswith("{")
        }


def test_its_examples_are_as_it_says() -> None:
    examples = [
        (name.partition(".")[0], example["payload"])
        for name, message in PROTOCOL["components"]["messages"].items()
        for example in message.get("examples", ())
    ]
    assert len(examples) > 5
    for channel, frame in examples:
        check(channel, frame)
