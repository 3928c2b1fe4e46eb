"""An inbox of a hundred thousand messages, read as JSON lines from a running server."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import orjson
import psutil  # type: ignore[import-untyped]
import pytest
from django.db import connection

from notification_service.lib.scope import tenant_scope
from notifications.inbox import streams
from notifications.inbox.models import InboxStream
from tenants.models import Role, Tenant
from tenants.tokens import issue_access_token
from tests.conftest import Persona
from tests.inbox.conftest import LiveServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("live"), pytest.mark.timeout(240)]

MANY = 100_000
MEGABYTE = 2**20

_FILL = """
INSERT INTO inbox_message (id, tenant_id, user_id, seq, content, category, priority, created_at, acknowledged_by)
SELECT gen_random_uuid(), %s, %s, n, jsonb_build_object('title', 'No. ' || n, 'body', repeat('x', 600)), '', 'normal',
       now(), ''
FROM generate_series(1, %s) AS n
"""


@pytest.fixture
def ada(make_persona: Callable[..., Persona], tenant: Tenant) -> Persona:
    """Somebody who has kept everything."""
    ada = make_persona(tenant, Role.EMPLOYEE)
    me = str(ada.user.id)
    with tenant_scope(tenant.id):
        streams.lock([me])
        InboxStream.objects.filter(user_id=me).update(seq=MANY, unread=MANY)
        with connection.cursor() as cursor:
            cursor.execute(_FILL, [tenant.id, me, MANY])
    return ada


@pytest.fixture
def alone(server: LiveServer, tmp_path: Path) -> Iterator[LiveServer]:
    """A server that does nothing else."""
    other = LiveServer(tmp_path)
    yield other
    if other.process.poll() is None:
        other.stop()


def ask(server: LiveServer, persona: Persona, accept: str) -> http.client.HTTPConnection:
    token = issue_access_token(persona.user, persona.tenant, Role.EMPLOYEE)
    asking = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    asking.request("GET", "/api/notifications/", headers={"Authorization": f"Bearer {token}", "Accept": accept})
    return asking


def test_all_of_them_once_in_flat_memory(alone: LiveServer, ada: Persona) -> None:
    process = psutil.Process(alone.process.pid)
    with closing(ask(alone, ada, "application/json")) as asking:  # so that everything is loaded that is needed
        assert len(orjson.loads(asking.getresponse().read())["results"]) > 0
    begin = peak = process.memory_info().rss
    octets, number, last = 0, 0, "g"
    with closing(ask(alone, ada, "application/x-ndjson")) as asking:
        answer = asking.getresponse()
        assert answer.status == 200
        for line in answer:
            message = orjson.loads(line)
            assert message["id"] < last, "each once, the newest first"
            octets, number, last = octets + len(line), number + 1, message["id"]
            if number % 1_000 == 0:
                peak = max(peak, process.memory_info().rss)
            if number == MANY // 2:  # who makes a pause is waited for: nothing piles up for them
                time.sleep(2)
    assert number == MANY
    assert octets > 90 * MEGABYTE
    assert peak - begin < 24 * MEGABYTE, f"{(peak - begin) / MEGABYTE:.0f} MB more"


def test_a_server_that_is_told_to_end_waits_for_no_download(alone: LiveServer, ada: Persona) -> None:
    with closing(ask(alone, ada, "application/x-ndjson")) as asking:
        assert asking.getresponse().status == 200
        alone.stop()  # in bounded time
    assert "Application shutdown complete" in alone.printed
