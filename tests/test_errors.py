"""Every error has one shape, every answer a request id, and no log line says what it must not."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from pytest_django.fixtures import Settings
from rest_framework.response import Response
from rest_framework.test import APIClient

from notification_service.lib.scope import tenant_scope
from notifications.credentials.models import Credential
from tests.conftest import Persona
from tests.records.conftest import EXAMPLE, RECORDS, example, make_credential, sender  # noqa: F401 - fixtures
from tests.records.conftest import credential as credential


def shape(answer: Response | Any, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is an error of the one shape; return its body."""
    body: dict[str, Any] = json.loads(answer.content)
    assert (answer.status_code, body["code"]) == (status, code), body
    assert answer["Content-Type"].startswith("application/json")
    assert isinstance(body["detail"], str)
    assert body["detail"]
    assert body.keys() <= {"detail", "code", "errors"}
    return body


@pytest.mark.parametrize("address", ["/nowhere", "/nowhere/", "/api/", "/api/notifications/records/7/", "/api/v1/x"])
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_no_such_address(db: None, address: str, method: str) -> None:
    shape(getattr(APIClient(), method)(address), 404, "not_found")


@pytest.mark.parametrize(("method", "address"), [("delete", RECORDS), ("put", RECORDS), ("post", "/health")])
def test_no_such_method(admin: Persona, method: str, address: str) -> None:
    answer = getattr(admin.client, method)(address)
    assert method.upper() in shape(answer, 405, "method_not_allowed")["detail"]
    assert "GET" in answer["Allow"]


def test_who_is_asked_first(db: None) -> None:
    answer = APIClient().get(RECORDS)
    shape(answer, 401, "not_authenticated")
    assert answer["WWW-Authenticate"].startswith("Bearer")


def test_malformed_json_and_other_kinds(admin: Persona) -> None:
    post = admin.client.generic
    shape(post("POST", RECORDS, b"{", content_type="application/json"), 400, "malformed")
    shape(post("POST", RECORDS, b"a: b", content_type="application/yaml"), 415, "unsupported_media_type")


def test_a_body_that_is_too_large(sender: Persona, settings: Settings) -> None:  # noqa: F811
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 2000
    assert sender.client.post(RECORDS, EXAMPLE).status_code == 201
    shape(sender.client.post(RECORDS, example(metadata={"pad": "x" * 3000})), 413, "too_large")


def test_a_body_that_is_too_large_is_refused_before_anybody_is_asked_who_they_are(db: None, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    shape(APIClient().post(RECORDS, {"pad": "x" * 200}), 413, "too_large")
    shape(APIClient().post("/api/v1/auth/login", {"email": "x" * 200}), 413, "too_large")


def test_an_answer_that_nobody_can_read(admin: Persona) -> None:
    shape(admin.client.get(RECORDS, headers={"Accept": "text/csv"}), 406, "not_acceptable")


def test_what_nobody_foresaw(sender: Persona, caplog: pytest.LogCaptureFixture) -> None:  # noqa: F811
    """A row that can not be decrypted stands for every bug: the caller learns nothing, the log everything."""
    with tenant_scope(sender.tenant_id):
        Credential.objects.update(payload_encrypted=b"damaged")
    answer = sender.client.get("/api/notifications/credentials/")
    assert shape(answer, 500, "internal_error") == {"detail": "Internal server error.", "code": "internal_error"}
    assert "DecryptionError" in caplog.text
    assert "Traceback" in caplog.text or any(record.exc_info for record in caplog.records)


def test_a_request_id_is_made_or_echoed(db: None) -> None:
    client = APIClient()
    made = {client.get("/health")["X-Request-ID"] for _ in range(2)}
    assert len(made) == 2
    assert client.get("/health", headers={"X-Request-ID": "order-7.abc_1"})["X-Request-ID"] == "order-7.abc_1"
    for bad in ("two words", "x" * 200, 'quo"te', "line\nbreak"):
        assert client.get("/health", headers={"X-Request-ID": bad})["X-Request-ID"] != bad
    for status, address in ((404, "/nowhere"), (401, RECORDS)):
        answer = client.get(address, headers={"X-Request-ID": "mine"})
        assert (answer.status_code, answer["X-Request-ID"]) == (status, "mine")


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What the JSON handler of the log file writes while the test runs, line by line."""
    (file,) = (each for each in logging.getLogger().handlers if "Rotating" in type(each).__name__)
    written: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(file.format(record))

    keeper = Keeper()
    logging.getLogger().addHandler(keeper)
    yield lambda: [json.loads(line) for line in written]
    logging.getLogger().removeHandler(keeper)


def test_a_line_names_its_request_and_tenant(
    sender: Persona,  # noqa: F811
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    answer = sender.client.post(RECORDS, example(), headers={"X-Request-ID": "order-7"})
    assert answer.status_code == 201
    (line,) = (each for each in lines() if each["event"] == "request")
    assert (line["method"], line["path"], line["status"]) == ("POST", RECORDS, 201)
    assert (line["request_id"], line["tenant_id"]) == ("order-7", str(sender.tenant_id))
    assert line["level"] == "info"
    assert line["timestamp"].endswith("Z")
    assert line["ms"] > 0


def test_one_requests_tenant_is_not_the_next_ones(admin: Persona, lines: Callable[[], list[dict[str, Any]]]) -> None:
    admin.client.get(RECORDS)
    APIClient().get("/nowhere")
    first, second = (each for each in lines() if each["event"] == "request")
    assert first["tenant_id"] == str(admin.tenant_id)
    assert "tenant_id" not in second
    assert first["request_id"] != second["request_id"]


def test_lines_hold_neither_secrets_nor_words_nor_addresses(lines: Callable[[], list[dict[str, Any]]]) -> None:
    structlog.get_logger("test").warning(
        "sent",
        password="hunter2-hunter2",
        body="Dear Ada",
        content={"subject": "Dear Ada"},
        recipient="ada.lovelace@example.com",
        note="key sk_live_abcdefghijklmnop",
        nested={"api_secret": "hunter2-hunter2", "n": 1},
    )
    logging.getLogger("test").warning("took %s", "Bearer abcdefghijklmnop")
    logging.getLogger("test").warning("more", extra={"token": "hunter2-hunter2"})
    text = json.dumps(lines())
    for word in ("hunter2-h", "Dear Ada", "lovelace", "abcdefghijkl"):
        assert word not in text
    assert lines()[0]["nested"]["n"] == 1


def test_a_traceback_is_one_line_and_has_no_local_variables(lines: Callable[[], list[dict[str, Any]]]) -> None:
    def fail(secret: str) -> None:
        raise ValueError("no")

    try:
        fail("-".join(["hunter2"] * 2))
    except ValueError:
        structlog.get_logger("test").exception("failed")
    (line,) = lines()
    assert "ValueError: no" in line["exception"]
    assert "hunter2-hunter2" not in json.dumps(line)
