"""System checks: production refuses to start with default or missing secrets, and says which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from notification_service.lib.encryption import KeyRing

#: Values that have stood in an example, a tutorial or a compose file once.
_KNOWN = frozenset({"change-me", "changeme", "secret", "django-insecure", "insecure", "password", "test", "dev"})
_MIN_SECRET = 40


@register(Tags.security)
def check_secrets(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Refuse missing, short or well-known secrets, by the name of their variable."""
    problems: list[CheckMessage] = []
    secret = settings.SECRET_KEY_GIVEN
    if not settings.DEBUG:
        if not secret:
            problems.append(Error("DJANGO_SECRET_KEY is not set.", hint=_hint("token_urlsafe(50)"), id="service.E001"))
        elif len(secret) < _MIN_SECRET or any(secret.lower().startswith(word) for word in _KNOWN):
            problems.append(
                Error(
                    f"DJANGO_SECRET_KEY is shorter than {_MIN_SECRET} characters or a well-known default.",
                    hint=_hint("token_urlsafe(50)"),
                    id="service.E002",
                )
            )
        if not settings.ALLOWED_HOSTS or "*" in settings.ALLOWED_HOSTS:
            problems.append(
                Error("ALLOWED_HOSTS must list the host names of this service.", hint="No '*'.", id="service.E003")
            )
        if settings.DATABASES["default"].get("PASSWORD") in ("notifications", "postgres", "password"):
            problems.append(Error("DATABASE_URL has a default password.", id="service.E004"))
    try:
        KeyRing(settings.ENCRYPTION_KEYS)
    except ValueError as error:
        problems.append(
            Error(f"ENCRYPTION_KEYS is missing or malformed: {error}.", hint=_key_hint(), id="service.E005")
        )
    return problems


@register(Tags.database)
def check_role(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **_: Any
) -> list[CheckMessage]:
    """Refuse a database role that row-level security does not bind."""
    problems: list[CheckMessage] = []
    for alias in databases or []:
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT rolname, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
            name, bypasses = cursor.fetchone()
        if bypasses:
            problems.append(
                Error(
                    f"The database role {name!r} of DATABASE_URL is a superuser or bypasses row-level security.",
                    hint="Connect as a role made with: CREATE ROLE notifications LOGIN NOSUPERUSER NOBYPASSRLS.",
                    id="service.E006",
                )
            )
    return problems


def refuse_unsafe_settings() -> None:
    """Raise ``ImproperlyConfigured`` naming every security problem: for servers, which Django does not check itself."""
    problems = [issue for issue in run_checks(tags=[Tags.security]) if issue.is_serious()]
    if problems:
        raise ImproperlyConfigured("\n".join(str(problem) for problem in problems))


def refuse_unsafe_role() -> None:
    """Raise ``ImproperlyConfigured`` if row-level security does not bind the role that we connect as."""
    problems = check_role(None, databases=["default"])
    if problems:
        raise ImproperlyConfigured("\n".join(str(problem) for problem in problems))


def _hint(call: str) -> str:
    return f"python3 -c 'import secrets; print(secrets.{call})'"


def _key_hint() -> str:
    return "python3 -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())'"
