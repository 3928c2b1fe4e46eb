"""FCM v1 against the sandbox's end: access tokens, messages, every class of failure, the check."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web
from pydantic import ValidationError

from notification_service.lib.net import PUBLIC_ONLY
from notifications.providers.base import FailureReason, SendResult, field_errors
from notifications.providers.fcm import FcmCredential, FcmProvider, fcm_message
from tests.providers.smtp_servers import LOCAL, free_port
from tests.providers.vendor_ends import message_to, opened, send_all, send_through, served
from tests.sandbox.conftest import Sandbox

TOKEN = "cXyz-1:APA91bH" + "a" * 120


@pytest.fixture(scope="module")
def key_file(running: Sandbox) -> dict[str, Any]:
    found: dict[str, Any] = running.request("/demo/fcm-service-account").json()
    return found


def credential(key_file: dict[str, Any], **changes: Any) -> FcmCredential:
    return FcmCredential.model_validate({"service_account": {**key_file, **changes}})


def test_a_message_arrives_with_everything_in_it(run: Any, sandbox: Sandbox, key_file: dict[str, Any]) -> None:
    message = message_to(
        TOKEN,
        "critical",
        title="Your code",
        body="482 913 für Zoë",
        data={"screen": "login"},
        image="https://cdn.example/a.png",
        actions=[{"action": "open", "title": "Open"}],
        android={"notification": {"channel_id": "codes"}},
        ttl=120,
        collapse_key="code",
    )
    (result,) = send_through(run, FcmProvider, credential(key_file), message)
    assert result.accepted
    assert result.provider_message_id.startswith("projects/sandbox-project/messages/0:")
    (caught,) = sandbox.messages(channel="push", to=TOKEN)
    assert (caught["subject"], caught["text"], caught["tenant"]) == (
        "Your code",
        "482 913 für Zoë",
        "sandbox-project",
    )
    sent = json.loads(caught["raw"])["message"]
    assert sent["notification"]["image"] == "https://cdn.example/a.png"
    assert sent["data"] == {
        "screen": "login",
        "notification_id": str(message.id),
        "actions": '[{"action":"open","title":"Open"}]',
    }
    assert sent["android"] == {
        "priority": "HIGH",
        "ttl": "120s",
        "collapse_key": "code",
        "notification": {"channel_id": "codes"},
    }
    assert sent["apns"]["headers"]["apns-priority"] == "10"
    assert sent["apns"]["headers"]["apns-collapse-id"] == "code"
    assert sent["webpush"]["headers"] == {"Urgency": "high", "TTL": "120"}


@pytest.mark.parametrize(
    ("token", "reason", "code", "retryable", "retry_after", "dead"),
    [
        ("unregistered", "provider_error", "UNREGISTERED", False, None, True),
        ("invalid-token:x", "provider_error", "INVALID_ARGUMENT", False, None, True),
        ("fail-permanent", "content_error", "INVALID_ARGUMENT", False, None, False),
        ("sender-mismatch", "provider_error", "SENDER_ID_MISMATCH", False, None, False),
        ("rate-limited", "rate_limited", "QUOTA_EXCEEDED", True, 7.0, False),
        ("unavailable", "provider_error", "UNAVAILABLE", True, None, False),
        ("internal-error", "provider_error", "INTERNAL", True, None, False),
        ("auth-fail", "auth_error", "UNAUTHENTICATED", False, None, False),
        ("apns-auth", "auth_error", "THIRD_PARTY_AUTH_ERROR", False, None, False),
        ("drop", "network_error", "", True, None, False),
    ],
)
def test_every_refusal_has_its_meaning(
    run: Any,
    sandbox: Sandbox,
    key_file: dict[str, Any],
    token: str,
    reason: str,
    code: str,
    retryable: bool,
    retry_after: float | None,
    dead: bool,
) -> None:
    (result,) = send_through(run, FcmProvider, credential(key_file), message_to(token))
    assert not result.accepted
    assert (result.reason, result.code, result.retryable) == (FailureReason(reason), code, retryable)
    assert (result.retry_after, result.dead_address) == (retry_after, dead)
    assert result.ambiguous == (token == "drop")
    assert result.response
    assert sandbox.messages() == []


def test_a_temporary_failure_passes(run: Any, sandbox: Sandbox, key_file: dict[str, Any]) -> None:
    async def conversation() -> list[bool]:
        async with opened(FcmProvider) as provider:
            login, token = credential(key_file), f"fail-temporary+2:{uuid4()}"
            return [(await provider.send(message_to(token), login)).accepted for _ in range(4)]

    assert run(conversation()) == [False, False, True, False]


def test_a_slow_message_holds_nobody_back(run: Any, sandbox: Sandbox, key_file: dict[str, Any]) -> None:
    order: list[str] = []

    async def conversation() -> None:
        async with opened(FcmProvider) as provider:
            batch = [message_to("slow+3"), *(message_to(f"{TOKEN}{n}") for n in range(20))]
            await provider.send_many(batch, credential(key_file), lambda message, _: order.append(message.recipient))

    run(conversation())
    assert len(order) == 21
    assert order[-1] == "slow+3"


def test_a_hundred_and_more_are_in_flight_on_one_token(run: Any, key_file: dict[str, Any]) -> None:
    """A server that answers only when a hundred messages wait: it would wait for ever if fewer came at once."""
    tokens = waiting = 0
    enough = asyncio.Event()

    async def token(_: web.Request) -> web.Response:
        nonlocal tokens
        tokens += 1
        await asyncio.sleep(0.05)
        return web.json_response({"access_token": f"t{tokens}", "expires_in": 3600})

    async def take(request: web.Request) -> web.Response:
        nonlocal waiting
        assert request.headers["Authorization"] == "Bearer t1"
        waiting += 1
        if waiting >= 100:
            enough.set()
        await enough.wait()
        return web.json_response({"name": "projects/p/messages/1"})

    async def conversation() -> list[SendResult]:
        async with served({"/token": token, "/v1/projects/{project}/messages:send": take}) as url:
            login = credential(key_file, token_uri=f"{url}/token", base_url=url)
            async with opened(FcmProvider) as provider:
                halves = [[message_to(f"{TOKEN}{n}") for n in range(100)] for _ in range(2)]
                found = await asyncio.gather(*(send_all(provider, half, login) for half in halves))
                return [result for half in found for result in half]

    results = run(conversation())
    assert len(results) == 200
    assert all(result.accepted for result in results)
    assert tokens == 1


def test_tokens_are_fetched_again_when_they_age_or_are_refused(run: Any, key_file: dict[str, Any]) -> None:
    valid: set[str] = set()
    given: list[str] = []
    lifetime = 3600

    async def token(_: web.Request) -> web.Response:
        given.append(f"t{len(given)}")
        valid.add(given[-1])
        return web.json_response({"access_token": given[-1], "expires_in": lifetime})

    async def take(request: web.Request) -> web.Response:
        if request.headers["Authorization"].removeprefix("Bearer ") not in valid:
            return web.json_response({"error": {"status": "UNAUTHENTICATED", "message": "no"}}, status=401)
        return web.json_response({"name": "projects/p/messages/1"})

    async def conversation() -> None:
        nonlocal lifetime
        async with served({"/token": token, "/v1/projects/{project}/messages:send": take}) as url:
            login = credential(key_file, token_uri=f"{url}/token", base_url=url)
            async with opened(FcmProvider) as provider:
                assert all(r.accepted for r in await send_all(provider, [message_to(TOKEN) for _ in range(30)], login))
                assert given == ["t0"]
                valid.clear()  # revoked
                assert all(r.accepted for r in await send_all(provider, [message_to(TOKEN) for _ in range(30)], login))
                assert given == ["t0", "t1"]
                lifetime = 1
                short = credential(key_file, token_uri=f"{url}/token", base_url=url, client_email="short@p.example")
                assert (await provider.send(message_to(TOKEN), short)).accepted
                assert given == ["t0", "t1", "t2"]
                await asyncio.sleep(0.6)  # more than half of its life is gone
                assert (await provider.send(message_to(TOKEN), short)).accepted
                assert given == ["t0", "t1", "t2", "t3"]

    run(conversation())


def test_a_token_that_is_always_refused_is_not_fetched_for_every_message(run: Any, key_file: dict[str, Any]) -> None:
    fetched = sent = 0

    async def token(_: web.Request) -> web.Response:
        nonlocal fetched
        fetched += 1
        return web.json_response({"access_token": f"t{fetched}", "expires_in": 3600})

    async def take(_: web.Request) -> web.Response:
        nonlocal sent
        sent += 1
        return web.json_response({"error": {"status": "UNAUTHENTICATED", "message": "no"}}, status=401)

    async def conversation() -> list[SendResult]:
        async with served({"/token": token, "/v1/projects/{project}/messages:send": take}) as url:
            login = credential(key_file, token_uri=f"{url}/token", base_url=url)
            async with opened(FcmProvider) as provider:
                return await send_all(provider, [message_to(TOKEN) for _ in range(400)], login)

    results = run(conversation())
    assert {(result.reason, result.code) for result in results} == {(FailureReason.AUTH_ERROR, "UNAUTHENTICATED")}
    assert fetched == 2
    assert sent < 600


def test_tenants_do_not_share_tokens(run: Any, sandbox: Sandbox, key_file: dict[str, Any]) -> None:
    own = credential(key_file)
    wrong = credential(key_file, client_email="wrong@other.iam.gserviceaccount.com")
    foreign = credential(key_file, client_email="app@other.iam.gserviceaccount.com")

    async def conversation() -> list[SendResult]:
        async with opened(FcmProvider) as provider:
            return [(await send_all(provider, [message_to(TOKEN)], login))[0] for login in (own, wrong, foreign, own)]

    results = run(conversation())
    assert [result.accepted for result in results] == [True, False, False, True]
    assert [(r.reason, r.code) for r in results[1:3]] == [
        (FailureReason.AUTH_ERROR, "invalid_grant"),
        (FailureReason.AUTH_ERROR, "PERMISSION_DENIED"),
    ]


def test_no_message_is_tried_without_a_token(run: Any, sandbox: Sandbox, key_file: dict[str, Any]) -> None:
    requests = 0

    async def token(_: web.Request) -> web.Response:
        nonlocal requests
        requests += 1
        return web.json_response({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, status=400)

    async def conversation() -> list[SendResult]:
        async with served({"/token": token}) as url, opened(FcmProvider) as provider:
            login = credential(key_file, token_uri=f"{url}/token")
            return await send_all(provider, [message_to(TOKEN) for _ in range(200)], login)

    results = run(conversation())
    assert {(r.reason, r.code, r.retryable, r.ambiguous) for r in results} == {
        (FailureReason.AUTH_ERROR, "invalid_grant", False, False)
    }
    assert requests == 1


def test_trouble_on_the_way_to_a_token_is_never_ambiguous(run: Any, key_file: dict[str, Any]) -> None:
    login = credential(key_file, token_uri=f"http://127.0.0.1:{free_port()}/token")
    (result,) = send_through(run, FcmProvider, login, message_to(TOKEN))
    assert (result.reason, result.retryable, result.ambiguous) == (FailureReason.NETWORK_ERROR, True, False)


def test_private_networks_are_out_of_reach_unless_allowed(run: Any, sandbox: Sandbox, key_file: dict[str, Any]) -> None:
    async def conversation() -> SendResult:
        provider = FcmProvider(network_policy=PUBLIC_ONLY)
        try:
            return await provider.send(message_to(TOKEN), credential(key_file))
        finally:
            await provider.aclose()

    result = run(conversation())
    assert (result.accepted, result.retryable) == (False, False)
    assert LOCAL != PUBLIC_ONLY


def test_the_check_sends_nothing(run: Any, sandbox: Sandbox, key_file: dict[str, Any]) -> None:
    async def conversation() -> list[Any]:
        async with opened(FcmProvider) as provider:
            wrong = credential(key_file, client_email="wrong@other.iam.gserviceaccount.com")
            return [
                await provider.check(login)
                for login in (credential(key_file), wrong, credential(key_file, project_id="elsewhere"))
            ]

    good, wrong, elsewhere = run(conversation())
    assert (good.ok, [step.name for step in good.steps]) == (True, ["access token", "dry run"])
    assert (wrong.ok, [step.ok for step in wrong.steps]) == (False, [False])
    assert wrong.reason is FailureReason.AUTH_ERROR
    assert (elsewhere.ok, [step.ok for step in elsewhere.steps]) == (False, [True, False])
    assert "elsewhere" in elsewhere.detail
    assert sandbox.messages() == []


def test_key_files_whole_flat_and_as_text(key_file: dict[str, Any]) -> None:
    whole = FcmCredential.model_validate({"service_account": key_file})
    flat = FcmCredential.model_validate(key_file)
    text = FcmCredential.model_validate({"service_account": json.dumps(key_file)})
    spelt = FcmCredential.model_validate({**key_file, "private_key": key_file["private_key"].replace("\n", "\\n")})
    assert whole == flat == text == spelt
    assert FcmCredential.model_validate(whole.reveal()) == whole
    assert FcmCredential.secret_fields() == {"private_key", "report_secret"}
    assert "PRIVATE" not in repr(whole)
    changed = FcmCredential.model_validate({**whole.reveal(), "service_account": {**key_file, "project_id": "newer"}})
    assert changed.project_id == "newer"


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"private_key": "nonsense"}, "private_key"),
        ({"project_id": "a/b"}, "project_id"),
        ({"client_email": "nobody"}, "client_email"),
        ({"token_uri": "file:///etc/passwd"}, "token_uri"),
        ({"type": "authorized_user"}, "credentials"),
        ({"service_account": "{"}, "credentials"),
        ({"service_account": [1]}, "credentials"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_bad_credentials_name_the_field(key_file: dict[str, Any], payload: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        FcmCredential.model_validate({**key_file, **payload})
    assert list(field_errors(caught.value)) == [field]
    assert "nonsense" not in str(caught.value)


def test_overrides_win_and_background_messages_are_quiet() -> None:
    made = fcm_message(message_to(TOKEN, "bulk", data={"a": "1"}, android={"priority": "HIGH"}))
    assert made["android"] == {"priority": "HIGH"}
    assert made["apns"]["headers"]["apns-priority"] == "5"
    assert "notification" not in made
