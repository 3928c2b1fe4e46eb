from __future__ import annotations

import asyncio
import logging
from uuid import uuid4

import pytest

from notifications.providers.base import OutgoingMessage
from notifications.providers.console import ConsoleCredential, ConsoleProvider


def test_one_line_with_the_recipient_masked_and_no_content(caplog: pytest.LogCaptureFixture) -> None:
    message = OutgoingMessage(uuid4(), "ada.lovelace@example.com", {"subject": "private", "text": "words"})
    with caplog.at_level(logging.INFO):
        result = asyncio.run(ConsoleProvider().send(message, ConsoleCredential()))
    assert result.accepted
    assert len(caplog.records) == 1
    line = caplog.records[0].getMessage()
    assert str(message.id) in line
    assert "a•••@example.com" in line
    assert "lovelace" not in line
    assert "private" not in line
    assert "words" not in line


def test_a_recipient_can_not_write_lines_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        message = OutgoingMessage(uuid4(), "a@b.test\nERROR forged", {})
        asyncio.run(ConsoleProvider().send(message, ConsoleCredential()))
    assert "\n" not in caplog.records[0].getMessage()
