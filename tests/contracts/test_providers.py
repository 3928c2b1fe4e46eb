"""What every provider promises."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import ValidationError

from notification_service.lib.net import NetworkPolicy
from notifications.channels.registry import channels
from notifications.providers.base import (
    NOT_BEGUN,
    CredentialSchema,
    OutgoingMessage,
    Provider,
    SendResult,
    field_errors,
)
from notifications.providers.registry import make_provider, providers

ALL = pytest.mark.parametrize("provider", list(providers), ids=lambda provider: provider.key)
LOCAL = NetworkPolicy.parse(["127.0.0.0/8"])
SECRET = "s3cret-Value-77"


def private_key(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem.decode()


#: Per provider: a payload whose secrets are SECRET and whose server is not there, and a rendered content.
SAMPLES: dict[str, dict[str, Any]] = {
    "smtp": {"host": "127.0.0.1", "port": 1, "username": "mailer", "password": SECRET, "from_email": "a@acme.test"},
    "console": {},
    "sendgrid": {"api_key": SECRET, "from_email": "a@acme.test", "base_url": "http://127.0.0.1:1"},
    "twilio": {
        "account_sid": "AC" + "0" * 32,
        "auth_token": SECRET,
        "from_phone": "+15005550006",
        "base_url": "http://127.0.0.1:1",
    },
    "fcm": {  # its secret must be a key; where tokens come from decides before the API's address does
        "project_id": "acme-app",
        "client_email": "app@acme-app.iam.gserviceaccount.com",
        "private_key": private_key(rsa.generate_private_key(65537, 2048)),
        "token_uri": "http://127.0.0.1:1/token",
    },
    "webpush": {
        "vapid_private_key": private_key(ec.generate_private_key(ec.SECP256R1())),
        "vapid_subject": "mailto:ops@acme.test",
    },
    "whatsapp_cloud": {
        "access_token": SECRET,
        "phone_number_id": "100000000000001",
        "app_secret": SECRET,
        "base_url": "http://127.0.0.1:1",
    },
    "inapp": {},
    "apprise": {"urls": f"mmost://127.0.0.1:1/{SECRET}-of-the-webhook"},
}
#: Per channel: a rendered content, and an address of the n-th recipient.
CONTENT: dict[str, dict[str, Any]] = {
    "email": {"subject": "Hi", "text": "Hello", "html": None, "reply_to": None, "from_name": None},
    "sms": {"body": "Hello", "encoding": "GSM-7", "segments": 1},
    "push": {"title": "Hi", "body": "Hello"},
    "whatsapp": {"text": {"body": "Hello"}},
    "inapp": {"title": "Hi", "body": "Hello", "priority": "normal"},
    "apprise": {"title": "Hi", "body": "Hello", "format": "text"},
}
ADDRESSES: dict[str, Callable[[int], str]] = {
    "email": "u{}@example.com".format,
    "sms": lambda number: f"+1555{number:07}",
    "push": "token-{}".format,
    "whatsapp": lambda number: f"+1555{number:07}",
    "inapp": "user-{}".format,
    "apprise": lambda number: "default",
}


def schema(provider: type[Provider[Any]]) -> CredentialSchema:
    return provider.schema.model_validate(SAMPLES[provider.key])


def outgoing(provider: type[Provider[Any]], count: int) -> list[OutgoingMessage]:
    content = CONTENT[provider.channel]
    address = ADDRESSES[provider.channel]
    return [OutgoingMessage(uuid4(), address(number), content) for number in range(count)]


def test_every_provider_has_a_sample_and_unknown_keys_are_named() -> None:
    assert set(SAMPLES) == set(providers.keys())
    with pytest.raises(KeyError, match="smtp"):
        make_provider("no-such-provider")


@ALL
def test_only_those_without_fields_need_no_credential(provider: type[Provider[Any]]) -> None:
    assert provider.needs_credential is bool(provider.schema.model_fields)


@ALL
def test_key_label_and_channel(provider: type[Provider[Any]]) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,31}", provider.key)
    assert provider.label
    assert provider.channel in channels
    assert provider.concurrency >= 1
    assert isinstance(make_provider(provider.key), provider)


@ALL
def test_schema_is_json_with_its_secrets_marked(provider: type[Provider[Any]]) -> None:
    document = json.loads(json.dumps(provider.schema.model_json_schema()))
    assert document["additionalProperties"] is False
    for name, field in document.get("properties", {}).items():
        marked = [part for part in (field, *field.get("anyOf", ())) if part.get("writeOnly")]
        assert bool(marked) is (name in provider.schema.secret_fields()), name
        assert all(part["format"] == "password" for part in marked)


@ALL
def test_payload_survives_storage(provider: type[Provider[Any]]) -> None:
    credential = schema(provider)
    stored = json.loads(json.dumps(credential.reveal()))
    assert provider.schema.model_validate(stored) == credential


@ALL
def test_secrets_are_never_shown(provider: type[Provider[Any]]) -> None:
    credential = schema(provider)
    for shown in (repr(credential), str(credential), credential.model_dump_json(), repr(vars(credential))):
        assert SECRET not in shown
    wrong: dict[str, Any] = {**SAMPLES[provider.key], "no_such_field": SECRET}
    for name in provider.schema.secret_fields():
        wrong |= {name: [SECRET]}
    with pytest.raises(ValidationError) as caught:
        provider.schema.model_validate(wrong)
    assert SECRET not in str(caught.value) + repr(caught.value) + json.dumps(field_errors(caught.value))
    assert "no_such_field" in field_errors(caught.value)


@ALL
def test_one_result_for_each_message(provider: type[Provider[Any]]) -> None:
    async def scenario(count: int) -> list[tuple[OutgoingMessage, SendResult]]:
        results: list[tuple[OutgoingMessage, SendResult]] = []
        instance = make_provider(provider.key, network_policy=LOCAL)
        try:
            await instance.send_many(
                outgoing(provider, count), schema(provider), lambda message, result: results.append((message, result))
            )
        finally:
            await instance.aclose()
        return results

    for count in (0, 1, 50):
        results = asyncio.run(scenario(count))
        assert len({message.id for message, _ in results}) == len(results) == count
        for _, result in results:
            assert result.accepted is (result.reason is None)
            assert len(result.response) <= 500
            assert SECRET not in repr(result)


@ALL
def test_who_was_stopped_begins_nothing(provider: type[Provider[Any]]) -> None:
    async def scenario() -> list[SendResult]:
        results: list[SendResult] = []
        instance = make_provider(provider.key, network_policy=LOCAL)
        instance.stop()
        await instance.send_many(outgoing(provider, 50), schema(provider), lambda _, result: results.append(result))
        await instance.aclose()
        return results

    assert asyncio.run(scenario()) == [NOT_BEGUN] * 50


@ALL
def test_check_never_raises(provider: type[Provider[Any]]) -> None:
    for policy in (LOCAL, NetworkPolicy()):
        result = asyncio.run(make_provider(provider.key, network_policy=policy).check(schema(provider)))
        assert result.detail
        assert result.ok is (result.reason is None)
        assert result.duration_ms >= 0
        assert SECRET not in repr(result)


@ALL
def test_closing_twice_is_harmless(provider: type[Provider[Any]]) -> None:
    async def scenario() -> None:
        instance = make_provider(provider.key, network_policy=LOCAL)
        await instance.send(outgoing(provider, 1)[0], schema(provider))
        await instance.aclose()
        await instance.aclose()

    asyncio.run(scenario())
