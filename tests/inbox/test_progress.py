"""Who follows progress sees files and campaigns go on, and nobody else does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from notification_service.lib.scope import tenant_scope
from notifications.batches import jobs
from notifications.credentials.models import Credential
from notifications.inbox.socket.threads import in_thread
from tenants.callers import system_caller
from tenants.models import Role, Tenant
from tenants.tokens import issue_access_token
from tests.batches.conftest import table, upload, uploads_directory, work  # noqa: F401 - fixture
from tests.campaigns.conftest import CONTENT, act, create, people, take_turns
from tests.conftest import Persona
from tests.inbox.clients import Client, open_client, play
from tests.inbox.conftest import LiveServer
from tests.records.conftest import make_credential  # noqa: F401 - fixture

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("live")]


def token_of(persona: Persona, role: Role) -> str:
    return issue_access_token(persona.user, persona.tenant, role)


async def follow(server: LiveServer, token: str) -> Client:
    client = await open_client(server, token)
    await client.send(type="subscribe", topics=["progress"], ref="s")
    assert (await client.next("ack", "error"))["ref"] == "s"
    return client


async def frames_until(client: Client, status: str) -> list[dict[str, Any]]:
    got = [await client.next("progress")]
    while got[-1]["status"] != status:
        got.append(await client.next("progress"))
    return got


async def hears_nothing(client: Client) -> bool:
    """Whether no progress comes before the answer to a ping, which is sent after everything that was published."""
    await client.send(type="ping", ref="last")
    while (frame := await client.next())["type"] != "pong":
        if frame["type"] == "progress":
            return False
    return True


@pytest.fixture
def strangers(make_persona: Callable[..., Persona], tenant: Tenant, other_tenant: Tenant) -> list[str]:
    """Tokens of an employee, who may not follow, and of another tenant's admin, who may follow his own."""
    employee, other = make_persona(tenant, Role.EMPLOYEE), make_persona(other_tenant, Role.ADMIN)
    return [token_of(employee, Role.EMPLOYEE), token_of(other, Role.ADMIN)]


def test_a_files_progress_reaches_the_tenants_admins_alone(
    server: LiveServer,
    admin: Persona,
    strangers: list[str],
    make_credential: Callable[..., Credential],  # noqa: F811
) -> None:
    make_credential(admin.tenant, 9)
    token, caller = token_of(admin, Role.ADMIN), system_caller(admin.tenant_id, "test")
    job_id = upload(admin.client, table(30) + "nobody,Broken,C-1\nPERSON3@example.com,Again,C-3\n").json()["id"]

    def pause_and_resume() -> None:
        for verb in (jobs.pause_job, jobs.resume_job):
            with tenant_scope(admin.tenant_id):
                verb(caller, job_id)

    async def scenario() -> list[dict[str, Any]]:
        boss = await follow(server, token)
        others = [await follow(server, each) for each in strangers]
        await in_thread(pause_and_resume)
        await in_thread(work, admin, job_id)
        got = await frames_until(boss, "completed")
        assert [await hears_nothing(each) for each in others] == [True, True]
        return got

    got = play(scenario())
    assert {(frame["kind"], frame["id"]) for frame in got} == {("csv_job", job_id)}
    assert list(dict.fromkeys(frame["status"] for frame in got)) == ["paused", "queued", "running", "completed"]
    assert (got[0]["done"], got[0]["total"], got[0]["read"]) == (0, None, 0)
    last = got[-1]
    assert (last["done"], last["total"], last["failed"], last["percent"], last["phase"]) == (30, 30, 1, 100.0, "done")
    shown = admin.client.get(f"/api/v1/services/notifications/bulk/{job_id}").json()
    assert (last["batch_id"], last["status"], last["read"]) == (shown["batch_id"], shown["status"], 32)


def test_a_campaigns_progress_reaches_the_tenants_admins_alone(
    server: LiveServer,
    admin: Persona,
    strangers: list[str],
    make_credential: Callable[..., Credential],  # noqa: F811
) -> None:
    make_credential(admin.tenant, 9)
    token = token_of(admin, Role.ADMIN)
    campaign_id = create(admin, content=CONTENT, recipients=people(5))

    def run() -> None:
        act(admin, campaign_id, "launch")
        take_turns(admin, campaign_id)
        act(admin, campaign_id, "cancel")
        take_turns(admin, campaign_id)

    async def scenario() -> list[dict[str, Any]]:
        boss = await follow(server, token)
        others = [await follow(server, each) for each in strangers]
        await in_thread(run)
        got = await frames_until(boss, "cancelled")
        assert [await hears_nothing(each) for each in others] == [True, True]
        return got

    got = play(scenario())
    assert {(frame["kind"], frame["id"]) for frame in got} == {("campaign", str(campaign_id))}
    assert list(dict.fromkeys(frame["status"] for frame in got)) == ["sending", "cancelled"]
    assert (got[0]["done"], got[0]["total"]) == (0, 5)
