"""Clients that are slow or gone, against a running server."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection

from notification_service.lib.scope import tenant_scope
from notifications.batches.models import Job
from notifications.inbox import streams
from tenants.models import Role, Tenant
from tenants.tokens import issue_access_token
from tests.conftest import Persona
from tests.inbox.conftest import LiveServer
from tests.running_service import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("live")]

THREADS = 2
_FILL = """
INSERT INTO inbox_message (id, tenant_id, user_id, seq, content, category, priority, created_at, acknowledged_by)
SELECT gen_random_uuid(), %s, %s, n, jsonb_build_object('title', 'No. ' || n, 'body', repeat('x', 2000)), '', 'normal',
       now(), ''
FROM generate_series(1, 20000) AS n
"""


@pytest.fixture
def server(transactional_db: None, tmp_path: Path) -> Iterator[LiveServer]:
    server = LiveServer(tmp_path, CLIENT_PATIENCE_SECONDS="2", WEB_THREADS=str(THREADS))
    yield server
    server.stop()


@pytest.fixture
def admin(make_persona: Callable[..., Persona], tenant: Tenant) -> Persona:
    return make_persona(tenant, Role.ADMIN)


def half_an_upload(server: LiveServer, persona: Persona) -> socket.socket:
    token = issue_access_token(persona.user, persona.tenant, Role.ADMIN)
    part = '--x\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n'
    body = part.format("channel", "") + "email\r\n"
    body += part.format("content", "") + '{"subject": "Hi", "body": "Hi {{name}}"}\r\n'
    body += part.format("file", '; filename="people.csv"') + "recipient,name\nada@example.com,Ada\nbob@exam"
    client = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    client.sendall(
        f"POST /api/v1/services/notifications/bulk/csv HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        f"Content-Length: {len(body) + 1000}\r\n\r\n{body}".encode()
    )
    return client


def deaf(server: LiveServer, persona: Persona) -> socket.socket:
    """Ask for forty megabytes and read none of them."""
    token = issue_access_token(persona.user, persona.tenant, Role.ADMIN)
    client = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.sendall(
        f"GET /api/notifications/ HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nAuthorization: Bearer {token}\r\n"
        "Accept: application/x-ndjson\r\n\r\n".encode()
    )
    return client


def jobs(persona: Persona) -> int:
    with tenant_scope(persona.tenant_id):
        return Job.objects.count()


def answers(server: LiveServer) -> bool:
    """Whether a thread is free for a request."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{server.port}/nowhere", timeout=1)
    except urllib.error.HTTPError as error:
        return error.code == 404
    except OSError:
        return False
    return False


def test_half_an_upload_is_none(server: LiveServer, admin: Persona) -> None:
    with half_an_upload(server, admin):
        pass
    wait_until(lambda: "bulk/csv" in server.printed, 20)
    assert jobs(admin) == 0


def test_who_sends_nothing_more_holds_no_thread(server: LiveServer, admin: Persona) -> None:
    sleepers = [half_an_upload(server, admin) for _ in range(THREADS)]
    try:
        wait_until(lambda: not answers(server), 20)
        wait_until(lambda: answers(server), 20)
        assert jobs(admin) == 0
    finally:
        for client in sleepers:
            client.close()


def test_who_reads_nothing_holds_no_thread(server: LiveServer, admin: Persona) -> None:
    with tenant_scope(admin.tenant_id):
        streams.lock([str(admin.user.id)])
        with connection.cursor() as cursor:
            cursor.execute(_FILL, [admin.tenant_id, str(admin.user.id)])
    sleepers = [deaf(server, admin) for _ in range(THREADS)]
    try:
        wait_until(lambda: not answers(server), 20)
        wait_until(lambda: answers(server), 30)
    finally:
        for client in sleepers:
            client.close()
