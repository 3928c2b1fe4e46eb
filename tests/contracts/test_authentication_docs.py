"""``docs/authentication.md`` says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from django.conf import settings
from pytest_django import Settings

from tenants import api_keys, issuers
from tenants.permissions import API_KEY_SCOPES, PLATFORM_ROLE_PERMISSIONS, ROLE_PERMISSIONS, Permission

TEXT = (Path(settings.BASE_DIR) / "docs" / "authentication.md").read_text(encoding="utf-8")
CODE = "\n".join(path.read_text(encoding="utf-8") for path in (Path(settings.BASE_DIR) / "tenants").rglob("*.py")) + (
    Path(settings.BASE_DIR) / "notification_service" / "lib" / "errors.py"
).read_text(encoding="utf-8")


def table(heading: str) -> list[list[str]]:
    """The rows of the first table that begins with ``heading``."""
    lines = TEXT[TEXT.index(f"| {heading} |") :].splitlines()
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return [rows[0], *rows[2:]]


def test_roles_and_scopes() -> None:
    (_, _, *roles, key), *rows = table("Permission")
    assert key == "API key"
    assert {row[0].strip("`") for row in rows} == set(Permission) - PLATFORM_ROLE_PERMISSIONS["super_admin"] | {"self"}
    for name, _, *marks, scope in rows:
        permission = Permission(name.strip("`"))
        held = [role for role, mark in zip(roles, marks, strict=True) if mark]
        assert held == [role for role in roles if permission in ROLE_PERMISSIONS[role]], name
        assert bool(scope) == (permission in API_KEY_SCOPES), name


def test_every_code_exists() -> None:
    codes = [code for row in table("Status")[1:] for code in re.findall(r"`(\w+)`", row[1])]
    assert len(codes) > 20
    assert [code for code in codes if f'"{code}"' not in CODE] == []


def test_the_example_of_trusted_issuers_is_accepted(settings: Settings) -> None:
    example = next(block for block in re.findall(r"```json\n(.*?)```", TEXT, re.S) if "jwks_url" in block)
    settings.TRUSTED_ISSUERS = json.loads(example)
    assert len(issuers.trusted_issuers()) == 3


def test_default_claims() -> None:
    documented = {row[0].strip("`"): tuple(re.findall(r"`([^`]+)`", row[1])) for row in table("Fact")[1:]}
    assert documented == issuers._DEFAULT_CLAIMS


@pytest.mark.parametrize("scope", api_keys.DEFAULT_SCOPES)
def test_default_scopes(scope: str) -> None:
    [line] = [line for line in TEXT.splitlines() if line.startswith("| `scopes`")]
    assert f"`{scope}`" in line
