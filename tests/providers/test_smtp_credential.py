"""What a tenant may enter, and the sentences for what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from notifications.providers.base import field_errors
from notifications.providers.smtp import SmtpCredential

GOOD: dict[str, Any] = {"host": "smtp.acme.test", "from_email": "no-reply@acme.test"}


def make(**values: Any) -> SmtpCredential:
    return SmtpCredential.model_validate({**GOOD, **values})


@pytest.mark.parametrize(
    ("values", "port", "security"),
    [
        ({}, 587, "starttls"),
        ({"port": 465}, 465, "tls"),
        ({"port": "465"}, 465, "tls"),
        ({"smtp_port": 465}, 465, "tls"),
        ({"port": 465, "security": "starttls"}, 465, "starttls"),
        ({"security": "none"}, 587, "none"),
        ({"use_tls": True}, 587, "starttls"),
        ({"use_tls": "true", "port": 2525}, 2525, "starttls"),
        ({"use_tls": True, "port": 465}, 465, "tls"),
        ({"use_ssl": True, "use_tls": False}, 587, "tls"),
        ({"use_tls": False}, 587, "none"),
        ({"use_tls": False, "security": "starttls"}, 587, "starttls"),
    ],
)
def test_security_and_its_older_spellings(values: dict[str, Any], port: int, security: str) -> None:
    credential = make(**values)
    assert (credential.port, credential.security) == (port, security)


def test_names_of_the_specification() -> None:
    credential = SmtpCredential.model_validate(
        {
            "smtp_host": "SMTP.Acme.test.", "smtp_port": 25, "smtp_username": "u", "smtp_password": "p",
            "from_email": "Ada@ACME.test", "from_name": "Ada", "reply_to": "",
        }
    )  # fmt: skip
    assert (credential.host, credential.port, credential.username) == ("smtp.acme.test", 25, "u")
    assert (credential.from_email, credential.reply_to) == ("Ada@acme.test", None)
    assert SmtpCredential.model_validate(credential.reveal()) == credential


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"host": ""}, "host"),
        ({"host": "https://smtp.acme.test"}, "host"),
        ({"host": "smtp.acme.test:25 x"}, "host"),
        ({"host": "a\r\nb"}, "host"),
        ({"port": 0}, "port"),
        ({"port": 70000}, "port"),
        ({"port": "x"}, "port"),
        ({"username": "u"}, "password"),
        ({"password": "p"}, "password"),
        ({"username": "u\r\nX", "password": "p"}, "username"),
        ({"username": "u", "password": "p\0"}, "password"),
        ({"security": "ssl3"}, "security"),
        ({"from_email": "nobody"}, "from_email"),
        ({"from_email": "Ada <ada@acme.test>"}, "from_email"),
        ({"from_email": "a@b.test\r\nBcc: x@y.test"}, "from_email"),
        ({"reply_to": "nobody"}, "reply_to"),
        ({"from_name": "a\nb"}, "from_name"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": 121}, "timeout"),
        ({"hots": "x"}, "hots"),
        ({"use_tls": "perhaps"}, "credentials"),
        ({"use_tls": True, "use_ssl": True}, "credentials"),
    ],
    ids=str,
)
def test_errors_name_the_field(values: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        make(**values)
    assert list(field_errors(caught.value)) == [field]


def test_a_missing_host_and_sender_are_both_named() -> None:
    with pytest.raises(ValidationError) as caught:
        SmtpCredential.model_validate({})
    assert field_errors(caught.value) == {"host": ["Field required"], "from_email": ["Field required"]}


def test_a_password_is_kept_to_the_letter() -> None:
    credential = make(username="u", password="  p w ")
    assert credential.reveal()["password"] == "  p w "
