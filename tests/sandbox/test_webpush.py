"""The sandbox's push service, spoken to with pywebpush as it is."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
import requests
from py_vapid import Vapid02
from pywebpush import webpush

from tests.sandbox.conftest import Sandbox


def subscribe(sandbox: Sandbox, **wanted: str) -> dict[str, Any]:
    request = urllib.request.Request(f"{sandbox.url}/push/subscriptions", json.dumps(wanted).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


def test_pywebpush_is_understood(sandbox: Sandbox) -> None:
    keys = sandbox.request("/demo/vapid").json()
    browser = subscribe(sandbox, vapid_public_key=keys["vapid_public_key"])
    answer = webpush(
        browser,
        data="plain words",
        vapid_private_key=keys["vapid_private_key"],
        vapid_claims={"sub": keys["vapid_subject"]},
        ttl=30,
    )
    assert answer.status_code == 201
    (caught,) = sandbox.messages(channel="push", to=browser["endpoint"])
    assert (caught["text"], caught["raw"], caught["headers"]["TTL"]) == ("plain words", "plain words", "30")
    assert answer.headers["Location"].endswith(caught["id"])


def signed(sandbox: Sandbox, **changes: Any) -> str:
    vapid = Vapid02()
    vapid.generate_keys()
    claims = {"aud": sandbox.url, "sub": "mailto:a@b.example", "exp": int(time.time()) + 60, **changes}
    return str(vapid.sign(claims)["Authorization"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"TTL": None}, 400),
        ({"TTL": "soon"}, 400),
        ({"Urgency": "panic"}, 400),
        ({"Content-Encoding": "aesgcm"}, 415),
        ({"Authorization": None}, 401),
        ({"Authorization": "vapid t=x,k=y"}, 401),
        ({"Authorization": "Bearer x"}, 401),
        ({}, 400),  # all in order, but the body is not encrypted
    ],
)
def test_bad_requests_are_refused(sandbox: Sandbox, headers: dict[str, Any], status: int) -> None:
    good = {"TTL": "60", "Content-Encoding": "aes128gcm", "Authorization": signed(sandbox)}
    sent = {name: value for name, value in {**good, **headers}.items() if value is not None}
    endpoint = subscribe(sandbox)["endpoint"]
    assert requests.post(endpoint, data=b"x" * 120, headers=sent, timeout=10).status_code == status
    assert sandbox.messages() == []


@pytest.mark.parametrize(
    "changes",
    [lambda now: {"aud": "https://elsewhere.example"}, lambda now: {"exp": 1}, lambda now: {"exp": now + 90_000}],
)
def test_bad_tokens_are_refused(sandbox: Sandbox, changes: Callable[[int], dict[str, Any]]) -> None:
    authorization = signed(sandbox, **changes(int(time.time())))
    headers = {"TTL": "60", "Content-Encoding": "aes128gcm", "Authorization": authorization}
    answer = requests.post(subscribe(sandbox)["endpoint"], data=b"x" * 120, headers=headers, timeout=10)
    assert answer.status_code == 401


def test_too_much_is_refused(sandbox: Sandbox) -> None:
    headers = {"TTL": "60", "Content-Encoding": "aes128gcm", "Authorization": signed(sandbox)}
    answer = requests.post(subscribe(sandbox)["endpoint"], data=b"x" * 4097, headers=headers, timeout=10)
    assert answer.status_code == 413


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"name": ""}', b'{"name": "a/b"}', b'{"vapid_public_key": 7}'])
def test_bad_subscriptions_name_the_field(sandbox: Sandbox, body: bytes) -> None:
    answer = requests.post(f"{sandbox.url}/push/subscriptions", data=body, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["errors"]
