"""Mail servers that refuse, hang, drip or hang up half-way: every record ends, and what was taken was asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.conftest import HALF_CLOSE, FaultyServer
from tests.providers.smtp_servers import CLOSE, HANG, RESET
from tests.running_service import RunningService

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("faults"), pytest.mark.timeout(60)]

Faulty = Callable[..., FaultyServer]
_TAKEN = b"250 2.0.0 Ok: queued as ABCDEF12\r\n"


def send(service: RunningService, domain: str, count: int) -> tuple[list[str], list[str]]:
    """Post mails; return their recipients and the records' ids."""
    recipients = [f"r{number}@{domain}" for number in range(count)]
    answers = service.send_many(recipients)
    assert {answer.status for answer in answers} == {201}
    return recipients, [answer.body["id"] for answer in answers]


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "message"])
def test_it_refuses_everything_for_good(service: RunningService, faulty_server: Faulty, domain: str, step: str) -> None:
    server = faulty_server(**{step: b"554 5.3.0 transaction failed\r\n"})
    _, ids = send(service, domain, 4)
    assert service.wait_for_ends(ids, 20) == ["failed"] * 4
    for each in ids:
        record = service.record(each)
        assert (record["failure_reason"], record["retry_count"]) == ("provider_error", 0)
        assert "transaction failed" in record["provider_response"]
    assert server.taken == []


@pytest.mark.parametrize(
    "script",
    [
        pytest.param({"greeting": (HANG, b"220 odd.test ESMTP\r\n")}, id="no greeting"),
        pytest.param({"message": (HANG, _TAKEN)}, id="no answer to a message"),
        pytest.param({"RCPT": (HANG, b"250 2.1.5 ok\r\n")}, id="no answer to a recipient"),
        pytest.param({"message": ([b"2", 0.1, b"50", 0.1, b" 2.0.0 o", 0.1, b"k\r\n"],)}, id="drips slowly"),
        pytest.param({"message": (HALF_CLOSE, _TAKEN)}, id="half-closes after a message"),
        pytest.param({"greeting": (HALF_CLOSE, b"220 odd.test ESMTP\r\n")}, id="half-closes at the start"),
        pytest.param({"message": (CLOSE, RESET, _TAKEN)}, id="closes and resets after a message"),
        pytest.param({"DATA": (RESET, b"354 go on\r\n")}, id="resets before a message"),
        pytest.param({"MAIL": (b"451 4.3.0 later\r\n", b"250 2.1.0 ok\r\n")}, id="asks for patience"),
    ],
)
def test_it_misbehaves_for_a_while(
    service: RunningService, faulty_server: Faulty, domain: str, script: dict[str, Any]
) -> None:
    server = faulty_server(**script)
    # Fewer than open a circuit, which would make this test wait for its rest.
    recipients, ids = send(service, domain, 4)
    assert service.wait_for_ends(ids, 30) == ["success"] * len(ids)
    assert Counter(server.recipients()) == Counter(recipients), "each exactly once: it said yes to each once"
