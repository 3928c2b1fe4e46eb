"""Everything at the same time, as in a cluster: several turns, drains, a hand on the brake, readers of mail."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.utils import timezone

from notifications.campaigns import turns
from notifications.campaigns.states import FINAL
from notifications.campaigns.tracking import Tracked, report
from notifications.campaigns.turns import run_turn
from notifications.records.engine import Engine
from tests.campaigns.conftest import act, addresses, change, create, load, look, people, records
from tests.conftest import Persona
from tests.sandbox.conftest import Sandbox


@pytest.mark.django_db(transaction=True)
def test_many_hands_do_it_once(
    marketer: Persona, engine: Engine, mail_server: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "CHUNK", 25)
    monkeypatch.setattr(turns, "TURN", 0.1)
    tenant_id = marketer.tenant_id
    refused = [{"recipient": f"fail-permanent+{n}@example.com", "context": {"name": "N"}} for n in range(10)]
    shaky = [{"recipient": f"fail-temporary+1@{n}.example.com", "context": {"name": "N"}} for n in range(10)]
    campaign_id = create(marketer, recipients=[*people(400), *refused, *shaky])
    act(marketer, campaign_id, "launch")
    ends = time.monotonic() + 60

    def until_done(work: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            try:
                while load(marketer, campaign_id).status not in FINAL:
                    assert time.monotonic() < ends, look(marketer, campaign_id)
                    work()
            finally:
                connection.close()

        return run

    def turn() -> None:
        run_turn(tenant_id, campaign_id)
        time.sleep(0.05)

    def hurry() -> None:  # nobody waits for a tick here
        time.sleep(0.3)
        if load(marketer, campaign_id).next_turn_at:
            change(marketer, campaign_id, next_turn_at=timezone.now())

    def brake() -> None:
        for verb in ("pause", "resume"):
            marketer.client.post(f"/api/notifications/campaigns/{campaign_id}/{verb}/")
            time.sleep(0.2)

    def read() -> None:
        for record in records(marketer, campaign_id, status="success")[-20:]:
            report("o", Tracked(tenant_id, record.id))

    def drain() -> None:
        engine.drain(tenant_id, "bulk")
        time.sleep(0.05)

    with ThreadPoolExecutor(8) as pool:
        hands = [pool.submit(until_done(work)) for work in (turn, turn, drain, drain, hurry, brake, read)]
    for hand in hands:
        hand.result()
    found = addresses(mail_server)
    assert len(found) == len(set(found)) == 410
    progress = look(marketer, campaign_id)
    assert [progress[name] for name in ("status", "total", "sent", "failed", "waiting")] == [
        "completed",
        420,
        410,
        10,
        0,
    ]
    opened = len(records(marketer, campaign_id, delivery_state="opened"))
    assert progress["opened"] == opened > 0
