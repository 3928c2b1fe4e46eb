"""From nothing to a mail that is proved, with ``demo.json`` alone."""

from __future__ import annotations

import stat
import urllib.request

import pytest

from tests.running_service import PATIENCE, RunningService, fetch, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]


def test_demo_json_says_how_to_begin(service: RunningService) -> None:
    demo, path = service.demo, service.local / "demo.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {
        "base_url", "ws_url", "sandbox_url", "tenant_id", "admin", "member", "token", "user_token", "user_id",
        "platform_token", "other_tenant", "api_keys",
    } <= demo.keys()  # fmt: skip
    assert {"email", "password"} == demo["admin"].keys() == demo["member"].keys()
    for person in ("admin", "member"):
        assert service.call("POST", "/api/v1/auth/login", demo[person], token=None).status == 200
    for token in (demo["token"], demo["user_token"], demo["platform_token"], demo["other_tenant"]["token"]):
        assert service.call("GET", "/api/v1/auth/me", token=token).status == 200


def test_a_new_user_sends_a_mail_and_proves_it(service: RunningService) -> None:
    payload = {**service.demo["smtp"], "from_email": "hello@acme.example"}
    credential = service.call(
        "POST", "/api/notifications/credentials/", {"channel": "email", "provider": "smtp", "credentials": payload}
    )
    assert credential.status == 201
    checked = service.call("POST", f"/api/notifications/credentials/{credential.body['id']}/test/")
    assert (checked.status, checked.body["ok"]) == (200, True)

    sent = service.send("ada@example.com", context={"name": "Ada & co"})
    assert sent.status == 201
    assert service.wait_for_ends([sent.body["id"]]) == ["success"]

    mail = service.caught(to="ada@example.com")[0]
    assert mail["subject"] == "Hi Ada & co"
    assert "<p>Welcome, Ada &amp; co.</p>" in mail["html"]
    assert "Welcome, Ada & co." in mail["text"]
    assert mail["headers"]["X-Notification-ID"] == sent.body["id"]

    story = service.call("GET", f"/api/notifications/records/{sent.body['id']}/timeline/")
    assert [step["status"] for step in story.body["timeline"]] == ["pending", "sending", "success"]
    assert "250" in story.body["timeline"][-1]["code"]

    stranger = service.demo["other_tenant"]["token"]
    for path in ("", "timeline/"):
        answer = service.call("GET", f"/api/notifications/records/{sent.body['id']}/{path}", token=stranger)
        assert (answer.status, answer.body["code"]) == (404, "not_found")
    listed = service.call("GET", "/api/notifications/records/", token=stranger)
    assert (listed.status, listed.body["count"]) == (200, 0)


def test_api_keys_send_live_and_test_mail(service: RunningService) -> None:
    for mode, pair in service.demo["api_keys"].items():
        headers = {"X-API-Key": pair["key"], "X-API-Secret": pair["secret"]}
        record = {"channel": "email", "recipient": f"{mode}@keys.example", "content": {"subject": mode}}
        sent = service.call("POST", "/api/notifications/records/", record, token=None, headers=headers)
        assert (sent.status, sent.body["mode"]) == (201, mode)
        assert service.wait_for_ends([sent.body["id"]]) == ["success"]
        (mail,) = service.caught(to=f"{mode}@keys.example")
        assert mail["tenant"] == ("acme" if mode == "live" else "demo"), "test mail uses the sandbox's credential"


def test_a_temporary_failure_is_retried_and_told(service: RunningService) -> None:
    sent = service.send("fail-temporary+1@retry.example")
    assert service.wait_for_ends([sent.body["id"]]) == ["success"]
    story = service.call("GET", f"/api/notifications/records/{sent.body['id']}/timeline/").body["timeline"]
    assert [step["status"] for step in story] == ["pending", "sending", "retrying", "sending", "success"]
    assert story[2]["reason"] == "provider_error"
    assert story[2]["code"].startswith("451")


def test_a_refused_credential_is_paused_and_its_admins_are_told(service: RunningService) -> None:
    stranger = service.demo["other_tenant"]["token"]
    body = {"channel": "email", "recipient": "auth-fail@example.com", "content": {"subject": "x"}}
    sent = service.call("POST", "/api/notifications/records/", body, token=stranger)
    path = f"/api/notifications/records/{sent.body['id']}/"
    wait_until(lambda: service.call("GET", path, token=stranger).body["status"] == "failed", PATIENCE)
    record = service.call("GET", path, token=stranger).body
    assert (record["failure_reason"], record["retry_count"]) == ("auth_error", 0)
    (credential,) = service.call("GET", "/api/notifications/credentials/?channel=email", token=stranger).body["results"]
    assert credential["status"] == "paused"
    assert "535" in credential["status_detail"]
    wait_until(lambda: bool(service.caught(to="admin@globex.example")), PATIENCE)

    # What comes meanwhile waits, and goes out when the credential is right again.
    waiting = service.call(
        "POST", "/api/notifications/records/", {**body, "recipient": "w@example.com"}, token=stranger
    )
    assert waiting.status == 201
    assert not service.caught(to="w@example.com")
    enabled = service.call(
        "PATCH", f"/api/notifications/credentials/{credential['id']}/", {"enabled": True}, token=stranger
    )
    assert enabled.body["status"] == "active"
    wait_until(lambda: bool(service.caught(to="w@example.com")), PATIENCE)


def test_pages(service: RunningService) -> None:
    for path in ("/api/docs/", "/swagger/", "/redoc/", "/admin/login/", "/api/schema/", "/health", "/health/"):
        with_browser = {"Accept": "text/html, application/vnd.oai.openapi+json, application/json"}
        request = urllib.request.Request(service.demo["base_url"] + path, headers=with_browser)
        with urllib.request.urlopen(request, timeout=20) as response:
            assert response.status == 200, path
    missing = fetch("GET", service.demo["base_url"] + "/no/such/page", None, {})
    assert (missing.status, missing.body) == (404, {"detail": "Not found.", "code": "not_found"})
