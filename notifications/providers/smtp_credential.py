"""What a tenant enters to use a mail server."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

import idna
from pydantic import AliasChoices, Field, SecretStr, TypeAdapter, ValidationInfo, field_validator, model_validator

from notifications.providers.base import Secret
from notifications.providers.http import BaseUrl, secret_forms
from notifications.providers.oauth_tokens import ClientGrant
from notifications.providers.sender import SenderIdentity
from notifications.providers.smtp_client import Server

_HOST = re.compile(r"[A-Za-z0-9_.:-]{1,253}")
_BOOL: TypeAdapter[bool] = TypeAdapter(bool)
#: Fields that only ``xoauth2`` uses, but for ``token_url``.
_GRANT = ("access_token", "client_id", "client_secret", "refresh_token", "scope")


class SmtpCredential(SenderIdentity):
    """Where the mail server is, how to log in, and who the mail is from."""

    host: str = Field(
        validation_alias=AliasChoices("host", "smtp_host"),
        description="Name or address of the mail server.",
        examples=["smtp.example.com"],
    )
    port: int = Field(587, validation_alias=AliasChoices("port", "smtp_port"), ge=1, le=65535)
    auth: Literal["auto", "plain", "login", "xoauth2"] = Field(
        "auto",
        description="How to log in. `auto`: PLAIN or LOGIN, as the server offers; `xoauth2`: with an access token, "
        "for Gmail and Microsoft 365.",
    )
    username: str | None = Field(
        None,
        validation_alias=AliasChoices("username", "smtp_username", "smtp_user"),
        max_length=320,
        validate_default=True,
    )
    password: Secret | None = Field(
        None, validation_alias=AliasChoices("password", "smtp_password"), max_length=4096, validate_default=True
    )
    access_token: Secret | None = Field(
        None, max_length=8192, description="For `xoauth2`: a token that somebody else keeps fresh."
    )
    client_id: str | None = Field(None, max_length=500, description="For `xoauth2`: the client that fetches tokens.")
    client_secret: Secret | None = Field(None, max_length=4096)
    refresh_token: Secret | None = Field(
        None, max_length=8192, description="Without it, the client asks for a token of its own (`client_credentials`)."
    )
    scope: str | None = Field(
        None, max_length=1000, description="What the token is asked for, where the service wants to know."
    )
    token_url: BaseUrl | None = Field(
        None,
        description="Where access tokens come from.",
        examples=["https://oauth2.googleapis.com/token"],
        validate_default=True,
    )
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls",
        description="`starttls`: encrypt after connecting; `tls`: encrypted from the start (default on port 465); "
        "`none`: send in clear.",
    )
    timeout: float = Field(30, ge=1, le=120, description="Seconds to wait for each answer of the server.")
    verify_certificate: bool = Field(True, description="Whether the server's certificate must be valid for its name.")

    @model_validator(mode="before")
    @classmethod
    def _older_spellings(cls, data: Any) -> Any:
        """Forget empty fields, and turn ``use_tls`` (STARTTLS) and ``use_ssl`` (TLS) into ``security``."""
        if not isinstance(data, dict):
            return data
        data = {name: value for name, value in data.items() if value is not None and value != ""}
        old = {name: data.pop(name) for name in ("use_tls", "use_ssl") if name in data}
        implicit = str(data.get("port", data.get("smtp_port", ""))).strip() == "465"
        flags = {}
        for name, value in old.items():
            try:
                flags[name] = _BOOL.validate_python(value)
            except ValueError:
                raise ValueError(f"{name} must be true or false.") from None
        if all(flags.get(name) for name in ("use_tls", "use_ssl")):
            raise ValueError("use_tls and use_ssl exclude each other.")
        if "security" not in data:
            if flags.get("use_ssl") or implicit:
                data["security"] = "tls"
            elif flags and not flags.get("use_tls"):
                data["security"] = "none"
        return data

    @field_validator("host")
    @classmethod
    def _host_name(cls, value: str) -> str:
        host = value.removeprefix("[").removesuffix("]").rstrip(".").lower()
        try:
            host = host if host.isascii() else idna.encode(host, uts46=True).decode("ascii")
        except idna.IDNAError:
            host = ""
        if not _HOST.fullmatch(host):
            raise ValueError("Enter a host name or an IP address, without scheme, path or port.")
        return host

    @field_validator("username")
    @classmethod
    def _no_null(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and not value.isprintable():
            raise ValueError("Control characters are not allowed.")
        if value is None and info.data.get("auth", "auto") != "auto":
            raise ValueError("Required for this way to log in.")
        return value

    @field_validator("password")
    @classmethod
    def _together(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if info.data.get("auth") == "xoauth2":
            if value is not None:
                raise ValueError("With xoauth2 there is no password: leave it out.")
        elif "username" in info.data and (value is None) != (info.data["username"] is None):
            raise ValueError("Username and password must be given together.")
        if value is not None and "\0" in value.get_secret_value():
            raise ValueError("Null characters are not allowed.")
        return value

    @field_validator("access_token")
    @classmethod
    def _one_word(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not re.fullmatch(r"[\x21-\x7e]+", value.get_secret_value()):
            raise ValueError("An access token is one word of ASCII characters.")
        return value

    @field_validator("token_url")
    @classmethod
    def _complete_grant(cls, value: str | None, info: ValidationInfo) -> str | None:
        known = info.data
        given = [name for name in _GRANT if known.get(name) is not None] + ["token_url"] * (value is not None)
        if known.get("auth") != "xoauth2":
            if given:
                raise ValueError(f"Only with auth xoauth2: {', '.join(given)}.")
            return value
        can_fetch = value and known.get("client_id") and (known.get("refresh_token") or known.get("client_secret"))
        if not known.get("access_token") and not can_fetch:
            raise ValueError(
                "With xoauth2, enter an access_token, or token_url, client_id and a refresh_token or a client_secret."
            )
        return value

    def sends_elsewhere(self, before: Self) -> bool:
        """Also without TLS where there was some, and to another port in clear: who listens there may be anybody."""
        return (
            super().sends_elsewhere(before)
            or self.host != before.host
            or (self.security == "none" and (before.security != "none" or self.port != before.port))
            or (before.verify_certificate and not self.verify_certificate)
        )

    def server(self, access_token: str | None = None) -> Server:
        """Return what the client needs to know."""
        secret = access_token or (self.password.get_secret_value() if self.password else None)
        return Server(self.host, self.port, self.security, self.username, secret, self.timeout, self.auth)

    def grant(self) -> ClientGrant | None:
        """Return what access tokens are fetched with, or None if there is nothing to fetch them with."""
        if self.token_url is None or self.client_id is None:
            return None
        return ClientGrant(self.token_url, self.client_id, self.client_secret, self.refresh_token, self.scope)

    def secrets(self) -> tuple[str, ...]:
        """Return every spelling of what must not be shown."""
        return secret_forms(self)
