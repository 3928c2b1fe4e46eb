"""Files whose rows become notifications: what is right is sent, what is not is told."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from notification_service.lib.scope import tenant_scope
from notifications.batches.jobs import purge_old
from notifications.batches.models import BrokenRow, Job, StagedRow
from notifications.credentials.models import Credential
from notifications.recipients.models import Preference
from notifications.records.engine import Engine
from notifications.records.models import NotificationRecord
from notifications.templates.models import MessageTemplate, MessageTemplateVersion
from tenants import limits
from tests.batches.conftest import BULK, CONTENT, SERVICES, job_of, table, upload, work
from tests.conftest import Persona
from tests.sandbox.conftest import Sandbox

Run = Callable[..., dict[str, Any]]


def counts(job: dict[str, Any]) -> dict[str, Any]:
    names = ("rows_read", "valid", "staged", "broken", "duplicates", "recorded", "suppressed")
    return {name: job["progress"][name] for name in names}


def errors_of(persona: Persona, job_id: str) -> list[dict[str, str]]:
    answer = persona.client.get(f"{BULK}/{job_id}/errors.csv")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    text = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.django_db(transaction=True)
def test_a_file_is_sent(
    admin: Persona, make_credential: Callable[..., Credential], engine: Engine, mail_server: Sandbox
) -> None:
    make_credential(admin.tenant, mail_server.smtp_port)
    rows = table(20) + "PERSON3@example.com,Again,C-3\nnobody,Broken,C-4\n"
    answer = upload(admin.client, rows)
    assert answer.status_code == 202
    assert answer["Location"] == f"{BULK}/{answer.json()['id']}"
    assert (answer.json()["status"], answer.json()["header"]) == ("queued", ["recipient", "name", "code"])
    job = work(admin, answer.json()["id"])
    assert (job["status"], job["progress"]["percent"]) == ("completed", 100.0)
    assert counts(job) == {
        "rows_read": 22,
        "valid": 21,
        "staged": 20,
        "broken": 1,
        "duplicates": 1,
        "recorded": 20,
        "suppressed": 0,
    }
    engine.drain(admin.tenant_id, "bulk")
    assert len(mail_server.messages()) == 20
    batch = admin.client.get(f"{SERVICES}/batches/{job['batch_id']}").json()
    assert (batch["status"], batch["completed"], batch["rejected"]) == ("closed", True, 2)
    assert batch["counts"] == {
        "total": 20,
        "in_progress": 0,
        "success": 20,
        "failed": 0,
        "suppressed": 0,
        "cancelled": 0,
    }


def test_capitals_make_no_difference_to_what_a_column_fills(run: Run, sender: Persona) -> None:
    job = run("Recipient,NAME,Code,Extra\nada@example.com,Ada,C-1,x\n", dry_run=True)
    assert counts(job)["staged"] == 1
    with tenant_scope(sender.tenant_id):
        assert StagedRow.objects.get(job_id=job["id"]).context == {"name": "Ada", "code": "C-1", "Extra": "x"}


def test_columns_that_differ_by_capitals_from_two_placeholders_fill_neither(sender: Persona) -> None:
    content = {"subject": "{{ name }} {{ Name }}"}
    answer = upload(sender.client, "recipient,NAME\nada@example.com,Ada\n", content=content)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["file"])


def test_a_placeholder_that_no_column_fills_is_told_at_once(sender: Persona) -> None:
    """Not once for each row of a file of a million."""
    answer = upload(sender.client, "recipient,code\nada@example.com,C-1\n")
    message = "No column fills the placeholder 'name'. The first row has 'recipient', 'code'."
    assert (answer.status_code, answer.json()["errors"]) == (400, {"file": [message]})
    for helpful in ({"context": {"name": "You"}}, {"mapping": {"code": "name"}, "content": {"subject": "{{name}}"}}):
        assert upload(sender.client, "recipient,code\nada@example.com,C-1\n", **helpful).status_code == 202
    depends = {"subject": "Hi", "body": "{% if vip == 'yes' %}{{ reason }}{% endif %}"}
    made = sender.client.post(
        "/api/notifications/templates/", {"name": "Offer", "channel": "email", "content": depends}
    ).json()
    answer = upload(sender.client, "recipient,vip\nada@example.com,no\n", content=..., template=made["slug"])
    assert answer.status_code == 202, answer.json()


def test_fifty_broken_rows_are_named_with_their_reasons(run: Run, sender: Persona) -> None:
    lines = table(950).splitlines()
    wrong = {
        "not-an-address,Ada,C-1": "recipient",
        ",Ada,C-1": "recipient",
        "ada@example.com,,C-1": "name",
        "ada@example.com,Ada": "code",
        "ada@example.com,Ada,C-1,more": "",
        'ada@example.com,"Ada" Lovelace,C-1': "",
        "ada@example.com,A\0da,C-1": "",
        "ada@,Ada,C-1": "recipient",
        "@example.com,Ada,C-1": "recipient",
        "ada@example.com;eve@example.com,Ada,C-1": "recipient",
    }
    expected = {}
    for place in range(50):
        line = list(wrong)[place % len(wrong)]
        lines.insert(place * 19 + 1, line)
    for number, line in enumerate(lines, start=1):
        if line in wrong:
            expected[number] = wrong[line]
    job = run("\n".join(lines))
    assert counts(job) | {"suppressed": 0} == {
        "rows_read": 1000,
        "valid": 950,
        "staged": 950,
        "broken": 50,
        "duplicates": 0,
        "recorded": 950,
        "suppressed": 0,
    }
    errors = errors_of(sender, job["id"])
    assert {int(row["row"]): row["column"] for row in errors} == expected
    reasons = {row["reason"] for row in errors}
    assert "The row has no address." in reasons
    assert "Missing value for placeholder 'name' in subject." in reasons
    assert "Missing value for placeholder 'code' in text." in reasons
    assert "The row has 4 cells and the first row only 3." in reasons
    assert any("null character" in reason for reason in reasons)
    assert any("quotation mark" in reason for reason in reasons)
    by_row = {int(row["row"]): row["original"] for row in errors}
    assert by_row[2] == "not-an-address, Ada, C-1"


def test_the_error_file_runs_no_formula(run: Run, sender: Persona) -> None:
    job = run('recipient,name,code\n=cmd|calc!A1,"=HYPERLINK(""http://x"")",1\n@SUM(A1),n,1\n"-1+2",n,1\n')
    assert job["progress"]["broken"] == 3
    for row in errors_of(sender, job["id"]):
        assert row["original"].startswith("'")
        assert not row["reason"].startswith(("=", "+", "-", "@"))


def test_a_dry_run_checks_and_sends_nothing(admin: Persona) -> None:
    barred = {"channel": "email", "address": "person1@example.com"}
    assert admin.client.post("/api/notifications/suppressions/", barred).status_code == 201
    job = work(admin, upload(admin.client, table(5) + "nobody,x,y\n", dry_run="true").json()["id"])
    assert (job["status"], job["dry_run"]) == ("completed", True)
    assert (job["progress"]["staged"], job["progress"]["broken"]) == (5, 1)
    assert (job["progress"]["recorded"], job["progress"]["suppressed"]) == (0, 1)
    with tenant_scope(admin.tenant_id):
        assert not NotificationRecord.objects.exists()
    assert len(errors_of(admin, job["id"])) == 1


def test_who_is_suppressed_is_recorded_with_the_reason(run: Run, sender: Persona) -> None:
    barred = {"channel": "email", "address": "Person1@example.com"}
    assert sender.client.post("/api/notifications/suppressions/", barred).status_code == 201
    job = run(table(3))
    assert (job["progress"]["recorded"], job["progress"]["suppressed"]) == (2, 1)
    found = sender.client.get(f"{SERVICES}/batches/{job['batch_id']}/notifications", {"status": "suppressed"}).json()
    assert [row["recipient"] for row in found["results"]] == ["person1@example.com"]
    counted = sender.client.get(f"{SERVICES}/batches/{job['batch_id']}").json()["counts"]
    assert (counted["total"], counted["in_progress"], counted["suppressed"]) == (3, 2, 1)


def test_columns_can_be_renamed_and_values_shared(run: Run, sender: Persona) -> None:
    text = "E-Mail;Vorname;Geheim\nada@example.com;Ada;x\n"
    mapping = {"E-Mail": "recipient", "Vorname": "name", "Geheim": None}
    job = run(text, mapping=mapping, context={"code": "SPRING"}, metadata={"category": "news"}, lane="normal")
    assert job["progress"]["recorded"] == 1
    with tenant_scope(sender.tenant_id):
        record = NotificationRecord.objects.get()
    assert record.context == {"name": "Ada", "code": "SPRING"}
    assert (record.metadata, record.lane, str(record.batch_id)) == ({"category": "news"}, "normal", job["batch_id"])


def test_people_are_reached_on_each_device(sender: Persona) -> None:
    for device in ("phone", "tablet"):
        body = {"device_id": device, "platform": "ios", "token": f"token-of-{device}", "user_id": "crm-1"}
        assert sender.client.post("/api/notifications/devices/", body).status_code == 201
    content = {"title": "Hi {{name}}"}
    answer = upload(
        sender.client, "user_id,name\ncrm-1,Ada\ncrm-2,Eve\n", channel="push", content=content, dry_run="true"
    )
    job = work(sender, answer.json()["id"])
    assert (job["progress"]["staged"], job["progress"]["broken"]) == (2, 1)
    assert errors_of(sender, job["id"])[0]["reason"] == "No address of 'crm-2' is known for this channel."


def test_telephone_numbers_belong_to_the_tenants_region(sender: Persona) -> None:
    sender.tenant.settings = {"default_region": "DE"}
    sender.tenant.save()
    rows = "phone,name\n0171 2345678,Ada\n+49 171 2345678,Ada again\nx,Eve\n"
    job = work(
        sender,
        upload(sender.client, rows, channel="sms", content={"body": "Hi {{name}}"}, dry_run="true").json()["id"],
    )
    assert (job["progress"]["staged"], job["progress"]["duplicates"], job["progress"]["broken"]) == (1, 1, 1)


def test_people_are_found_and_their_wishes_heeded(run: Run, sender: Persona) -> None:
    for user_id, name in (("u1", "ada"), ("u2", "eve")):
        body = {"external_user_id": user_id, "email": f"{name}@example.com", "name": name.title()}
        assert sender.client.post("/api/v1/users", body).status_code == 201
    with tenant_scope(sender.tenant_id):
        Preference.objects.create(tenant=sender.tenant, user_id="u2", switches={"news": {"email": False}})
    job = run("user_id,name,code\nu1,Ada,1\nu2,Eve,2\nu3,Joe,3\n", metadata={"category": "news"})
    assert (job["progress"]["recorded"], job["progress"]["suppressed"], job["progress"]["broken"]) == (1, 1, 1)


def test_a_template_is_pinned_when_the_file_is_taken(sender: Persona) -> None:
    def publish(number: int, text: str) -> MessageTemplateVersion:
        content = {"subject": text}
        version = MessageTemplateVersion.objects.create(
            tenant=sender.tenant, template=template, number=number, content=content, compiled={"": content}
        )
        MessageTemplate.objects.filter(id=template.id).update(published=version)
        return version

    with tenant_scope(sender.tenant_id):
        template = MessageTemplate.objects.create(tenant=sender.tenant, name="Voucher", slug="voucher", channel="email")
        first = publish(1, "Hi {{name}}, {{code}}")
    taken = upload(sender.client, table(2) + "x@example.com,,1\n", content=..., template="voucher")
    assert taken.status_code == 202, taken.content
    with tenant_scope(sender.tenant_id):
        publish(2, "Something else")
    job = work(sender, taken.json()["id"])
    assert (job["progress"]["recorded"], job["progress"]["broken"]) == (2, 1)
    assert "'name'" in errors_of(sender, job["id"])[0]["reason"]
    with tenant_scope(sender.tenant_id):
        assert set(NotificationRecord.objects.values_list("template_version_id", flat=True)) == {first.id}
    unknown = upload(sender.client, table(1), content=..., template="no-such")
    assert (unknown.status_code, list(unknown.json()["errors"])) == (400, ["template"])


def test_a_scheduled_file_waits(run: Run, sender: Persona) -> None:
    run(table(2), scheduled_at="2027-01-05T09:00:00Z")
    with tenant_scope(sender.tenant_id):
        found = NotificationRecord.objects.values_list("status", "scheduled_at__year", "due_at__year")
        assert set(found) == {("scheduled", 2027, 2027)}


@pytest.mark.parametrize(
    ("data", "form", "field", "says"),
    [
        ("", {}, "file", "empty"),
        ("\n\n", {}, "file", "empty"),
        ("ada@example.com,Ada\n", {}, "file", "No column has the address"),
        ("recipient,name,name\na@example.com,b,c\n", {}, "file", "Two columns are called 'name'"),
        ("recipient,,name\na@example.com,b,c\n", {}, "file", "Column 2 has no name"),
        ("recipient" + ",x" * 300, {}, "file", "at most 200"),
        ("recipient,name\n", {"mapping": {"Nome": "name"}}, "mapping", "no column 'Nome'"),
        ("recipient,name\n", {"mapping": {"name": 5}}, "mapping", "'name' must lead to a name"),
        ("recipient,name,a\n", {"mapping": {"a": "name"}}, "mapping", "Two columns lead to 'name'"),
        ("recipient,name\n", {"mapping": "[1]"}, "mapping", "dictionary"),
        ("recipient,name\n", {"content": "{"}, "content", "valid JSON"),
        ("recipient,name\n", {"content": ...}, "content", "Give either content or a template"),
        ("recipient,name\n", {"content": {"subject": "{{"}}, "content.subject", "not closed"),
        ("recipient,name\n", {"channel": "pigeon"}, "channel", "Unknown channel"),
        ("recipient,name\n", {"lane": "fast"}, "lane", "fast"),
        ("recipient,name\n", {"scheduled_at": "2099-01-01T00:00:00Z"}, "scheduled_at", "within"),
        (b"\xff\xfer\x00\x00", {}, "file", "does not go on"),
        (b"PK\x03\x04garbage", {}, "file", "ZIP"),
    ],
    ids=lambda value: None if isinstance(value, dict | bytes) else str(value)[:30].replace("\n", "/"),
)
def test_what_is_refused_names_its_field(
    sender: Persona, uploads_directory: Path, data: bytes | str, form: dict[str, Any], field: str, says: str
) -> None:
    answer = upload(sender.client, data, **form)
    assert answer.status_code == 400, answer.content
    assert list(answer.json()["errors"]) == [field]
    assert says in answer.json()["detail"]
    assert not [path for path in uploads_directory.rglob("*") if path.is_file()], "what is refused is not kept"


def test_without_a_credential_nothing_is_taken(admin: Persona) -> None:
    answer = upload(admin.client, table(1))
    assert (answer.status_code, answer.json()["code"]) == (409, "no_credential")


def test_files_have_limits(sender: Persona, settings: Settings) -> None:
    settings.BULK_MAX_ROWS = 10
    job = work(sender, upload(sender.client, table(11)).json()["id"])
    assert (job["status"], job["detail"]) == ("failed", "The file has more than 10 rows: nothing was sent.")
    assert work(sender, upload(sender.client, table(10)).json()["id"])["status"] == "completed"
    settings.BULK_MAX_BYTES = 100
    answer = upload(sender.client, table(11))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_an_upload_with_a_key_is_taken_once(sender: Persona, uploads_directory: Path) -> None:
    first, second = (upload(sender.client, table(3), key="friday") for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert (first.json()["id"], second["Idempotent-Replayed"]) == (second.json()["id"], "true")
    assert len([path for path in uploads_directory.rglob("*") if path.is_file()]) == 1
    assert upload(sender.client, table(4), key="friday").status_code == 422


def test_a_file_with_nothing_right_completes(run: Run) -> None:
    job = run("recipient,name,code\nx,y,z\n")
    assert (job["status"], job["progress"]["broken"], job["progress"]["recorded"]) == ("completed", 1, 0)
    assert run("recipient,name,code\n")["status"] == "completed"


def test_the_quota_stops_a_file_before_anything_is_sent(sender: Persona) -> None:
    upload_of = upload(sender.client, table(5_001))
    job = work(sender, upload_of.json()["id"])
    assert job["status"] == "paused"
    assert "quota" in job["detail"]
    assert job["progress"]["recorded"] == 0
    sender.tenant.plan = "enterprise"
    sender.tenant.save()
    limits.forget(sender.tenant_id)
    assert sender.client.post(f"{BULK}/{job['id']}/resume").status_code == 200
    job = work(sender, job["id"])
    assert (job["status"], job["progress"]["recorded"]) == ("completed", 5_001)


def test_strangers_find_nothing(run: Run, stranger: Persona) -> None:
    job = run(table(2) + "x,y,z\n")
    assert stranger.client.get(BULK).json()["results"] == []
    assert stranger.client.get(f"{SERVICES}/batches").json()["results"] == []
    for path in (f"bulk/{job['id']}", f"bulk/{job['id']}/errors.csv", f"batches/{job['batch_id']}"):
        assert stranger.client.get(f"{SERVICES}/{path}").status_code == 404
    assert stranger.client.get(f"{SERVICES}/batches/{job['batch_id']}/notifications").status_code == 404
    for path in (f"bulk/{job['id']}/cancel", f"bulk/{job['id']}/pause", f"batches/{job['batch_id']}/cancel"):
        assert stranger.client.post(f"{SERVICES}/{path}").status_code == 404


def test_what_is_over_its_time_is_deleted(
    run: Run, sender: Persona, settings: Settings, uploads_directory: Path
) -> None:
    job = run(table(3) + "x,y,z\n")
    assert purge_old() == 0
    settings.BULK_RETENTION_DAYS = 0
    assert purge_old() == 1
    assert not [path for path in uploads_directory.rglob("*") if path.is_file()]
    with tenant_scope(sender.tenant_id):
        assert not StagedRow.objects.exists()
        assert not BrokenRow.objects.exists()
        assert NotificationRecord.objects.count() == 3
    assert job_of(sender, job["id"]).purged_at is not None
    assert errors_of(sender, job["id"]) == []
    assert purge_old() == 0


def test_content_with_nothing_to_fill_in(run: Run, sender: Persona) -> None:
    job = run("email\nada@example.com\n", content={"subject": "Hello"})
    assert job["progress"]["recorded"] == 1
    with tenant_scope(sender.tenant_id):
        assert Job.objects.get().content == {"subject": "Hello"}
    assert CONTENT != {"subject": "Hello"}
