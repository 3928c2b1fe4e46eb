"""Uploads in a bucket: an S3-compatible server that really listens, asked over HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from moto.server import ThreadedMotoServer
from openpyxl import Workbook
from pytest_django import Settings

from notification_service.lib.scope import tenant_scope
from notifications.batches import turns, uploads
from notifications.batches.jobs import purge_old
from notifications.batches.models import StagedRow
from tests.batches.conftest import table
from tests.batches.test_jobs import errors_of
from tests.conftest import Persona

Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(store: str, settings: Settings, uploads_directory: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty bucket, which uploads stand in."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    name = f"uploads-{secrets.token_hex(4)}"
    options = {"bucket_name": name, "endpoint_url": store, "region_name": "us-east-1", "default_acl": None}
    settings.STORAGES = {
        **settings.STORAGES,
        "uploads": {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": {**options, "file_overwrite": True}},
    }
    found = boto3.resource("s3", endpoint_url=store, region_name="us-east-1").Bucket(name)
    found.create()
    return found


def keys(bucket: Any) -> list[str]:
    return [each.key for each in bucket.objects.all()]


def test_a_file_is_read_from_a_bucket_and_deleted_in_time(
    bucket: Any, run: Run, sender: Persona, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "STAGE_ROWS", 7)
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.0)
    job = run(table(20) + '"open,quote\nx,y,z\n')
    (key,) = keys(bucket)
    assert key == f"bulk/{sender.tenant_id}/{job['id']}.csv"
    assert (job["status"], job["progress"]["recorded"], job["progress"]["broken"]) == ("completed", 20, 2)
    assert [row["row"] for row in errors_of(sender, job["id"])] == ["22", "23"]
    settings.BULK_RETENTION_DAYS = 0
    assert purge_old() == 1
    assert keys(bucket) == []
    with tenant_scope(sender.tenant_id):
        assert not StagedRow.objects.exists()


def test_a_workbook_becomes_a_table_in_the_bucket(bucket: Any, run: Run, tmp_path: Any) -> None:
    book = Workbook()
    for row in (["recipient", "name", "code"], ["ada@example.com", "Ada", "C-1"], ["bob@example.com", "Bob", "C-2"]):
        book.active.append(row)
    book.save(tmp_path / "people.xlsx")
    job = run((tmp_path / "people.xlsx").read_bytes(), name="people.xlsx")
    assert (job["status"], job["progress"]["recorded"]) == ("completed", 2)
    assert [key.rpartition(".")[2] for key in keys(bucket)] == ["csv"]


def test_only_what_is_read_is_fetched(bucket: Any) -> None:
    content = b"".join(b"%07d\n" % number for number in range(200_000))
    bucket.Object("big").put(Body=content)
    with uploads.open_at("big") as file:
        file.seek(800_000)
        assert file.readline() == b"0100000\n"
        file.seek(8)
        assert file.readline() == b"0000001\n"
        assert file.seek(0, 2) == len(content)
        assert file.read() == b""
        file.seek(0)
        assert file.read() == content
    with pytest.raises(FileNotFoundError):
        uploads.open_at("nothing")
