"""Bearer tokens: which issuers are believed, and what a token of theirs says once it is verified.

JWT best current practice, RFC 8725: the algorithms come from our settings and never from the token; each issuer's keys
verify that issuer's tokens only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from notification_service.lib.errors import NotAuthenticated
from tenants import signing_keys
from tenants.jwks import RemoteKeySet

#: Seconds by which clocks may differ.
LEEWAY: Final = 30
_MAX_TOKEN = 16_384
_ASYMMETRIC: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)
#: Where each fact stands in a token, as dotted paths in order of preference.
_DEFAULT_CLAIMS: Final[Mapping[str, tuple[str, ...]]] = {
    "tenant": ("tenant_unique_id", "projectId"),
    "role": ("role", "roles"),
    "user_id": ("user.id", "sub"),
    "username": ("user.username", "preferred_username", "name"),
    "email": ("email", "user.email"),
    "client": ("azp", "client_id"),
    "scope": ("scope", "scp"),
}
_ENTRY = frozenset({"issuer", "jwks_url", "audience", "algorithms", "claims"})


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """What a token whose signature, issuer, audience and times hold says. ``tenant`` is as the issuer calls it."""

    issuer: str
    is_local: bool
    kind: str
    tenant: str
    roles: tuple[str, ...]
    user_id: str
    username: str
    email: str
    client: str
    scopes: frozenset[str]
    session: str


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """One entry of ``TRUSTED_ISSUERS``, or the local issuer (which has no ``keys`` over HTTP)."""

    name: str
    algorithms: tuple[str, ...]
    audience: tuple[str, ...]
    claims: Mapping[str, tuple[str, ...]]
    find_key: Callable[[str, str], Any] = field(repr=False)
    is_local: bool = False


def verify(token: str) -> VerifiedToken:
    """Verify a bearer token. Raises ``NotAuthenticated`` with a code that says what is wrong, or
    ``IssuerUnavailable`` if its issuer's keys can not be had."""
    header, claims = _peek(token)
    issuer = trusted_issuers().get(_text(claims.get("iss")))
    if issuer is None:
        raise _refused("untrusted_issuer", "The token's issuer is not trusted here.")
    algorithm = header.get("alg")
    if algorithm not in issuer.algorithms:
        raise _refused("invalid_token", "The token is signed with an algorithm that its issuer does not use.")
    key = issuer.find_key(_text(header.get("kid")), algorithm)
    if key is None:
        raise _refused("invalid_token", "The token is signed with a key that its issuer does not publish.")
    return _read(issuer, _decode(token, key, algorithm, issuer))


def trusted_issuers() -> Mapping[str, TrustedIssuer]:
    """Return the issuers by name. Raises ``ImproperlyConfigured`` for a ``TRUSTED_ISSUERS`` that makes no sense."""
    return _issuers(settings.JWT_ISSUER, settings.JWT_AUDIENCE, json.dumps(settings.TRUSTED_ISSUERS))


@lru_cache(maxsize=8)
def _issuers(local_name: str, local_audience: str, configured: str) -> Mapping[str, TrustedIssuer]:
    found: dict[str, TrustedIssuer] = {}
    for entry in json.loads(configured):
        issuer = _parse(entry)
        if issuer.name in found:
            raise ImproperlyConfigured(f"TRUSTED_ISSUERS names {issuer.name!r} twice")
        found[issuer.name] = issuer
    found[local_name] = TrustedIssuer(
        local_name, (signing_keys.ALGORITHM,), (local_audience,), _DEFAULT_CLAIMS, _find_local_key, is_local=True
    )
    return found


def _parse(entry: Any) -> TrustedIssuer:
    if not isinstance(entry, dict) or not entry.get("issuer") or not entry.get("jwks_url"):
        raise ImproperlyConfigured("each of TRUSTED_ISSUERS must be an object with issuer and jwks_url")
    name = str(entry["issuer"])
    if unknown := entry.keys() - _ENTRY:
        raise ImproperlyConfigured(f"TRUSTED_ISSUERS, {name}: unknown {', '.join(sorted(unknown))}")
    if urlsplit(str(entry["jwks_url"])).scheme not in ("http", "https"):
        raise ImproperlyConfigured(f"TRUSTED_ISSUERS, {name}: jwks_url must start with https:// or http://")
    algorithms = tuple(entry.get("algorithms") or ("RS256", "ES256"))
    if not _ASYMMETRIC.issuperset(algorithms):
        raise ImproperlyConfigured(f"TRUSTED_ISSUERS, {name}: algorithms must be some of {sorted(_ASYMMETRIC)}")
    claims = {key: _paths(value) for key, value in (entry.get("claims") or {}).items()}
    if unknown := claims.keys() - _DEFAULT_CLAIMS.keys():
        raise ImproperlyConfigured(f"TRUSTED_ISSUERS, {name}: unknown claims {', '.join(sorted(unknown))}")
    keys = RemoteKeySet(str(entry["jwks_url"]))

    def find_key(kid: str, algorithm: str) -> Any:
        jwk = keys.get(kid)
        if jwk is None or jwk.get("alg", algorithm) != algorithm:
            return None
        try:
            return jwt.PyJWK(jwk, algorithm).key
        except jwt.PyJWTError:  # an RSA key for ES256, a broken key
            return None

    return TrustedIssuer(name, algorithms, _paths(entry.get("audience") or ()), {**_DEFAULT_CLAIMS, **claims}, find_key)


def _paths(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(str(item) for item in value)


def _find_local_key(kid: str, _: str) -> RSAPublicKey | None:
    return signing_keys.public_key(kid)


def _peek(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    if len(token) > _MAX_TOKEN:
        raise _refused("invalid_token", "The token is too long.")
    try:
        parts = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):  # not all that is no token raises PyJWT's own errors
        raise _refused("invalid_token", "This is no JSON Web Token.") from None
    return parts["header"], parts["payload"]


def _decode(token: str, key: Any, algorithm: str, issuer: TrustedIssuer) -> dict[str, Any]:
    try:
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=issuer.audience or None,
            issuer=issuer.name,
            leeway=LEEWAY,
            options={
                "require": ["exp", "iss", *(["aud"] if issuer.audience else [])],
                "verify_aud": bool(issuer.audience),
                "verify_sub": False,
                "verify_jti": False,
                "enforce_minimum_key_length": True,
            },
        )
    except jwt.ExpiredSignatureError:
        raise _refused("token_expired", "The token has expired.") from None
    except (jwt.ImmatureSignatureError, jwt.InvalidIssuedAtError):
        raise _refused("token_not_yet_valid", "The token is not valid yet.") from None
    except jwt.InvalidAudienceError:
        raise _refused("invalid_audience", "The token is meant for another service.") from None
    except jwt.MissingRequiredClaimError as error:
        code = "invalid_audience" if error.claim == "aud" else "invalid_token"
        raise _refused(code, f"The token has no claim {error.claim}.") from None
    except jwt.InvalidSignatureError:
        raise _refused("invalid_token", "The token's signature does not hold.") from None
    except (jwt.PyJWTError, ValueError, TypeError):
        raise _refused("invalid_token", "The token can not be verified.") from None


def _read(issuer: TrustedIssuer, claims: Mapping[str, Any]) -> VerifiedToken:
    def first(fact: str) -> Any:
        return next((found for path in issuer.claims[fact] if (found := _at(claims, path))), None)

    return VerifiedToken(
        issuer=issuer.name,
        is_local=issuer.is_local,
        kind=_text(claims.get("type")),
        tenant=_text(first("tenant")),
        roles=_words(first("role")),
        user_id=_text(first("user_id")),
        username=_text(first("username")),
        email=_text(first("email")),
        client=_text(first("client")),
        scopes=frozenset(_words(first("scope"))),
        session=_text(claims.get("sid")),
    )


def _at(claims: Mapping[str, Any], path: str) -> Any:
    if path in claims:  # names with dots, such as https://example.com/tenant
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _text(value: Any) -> str:
    """Return a claim as text: an id may be a number; anything but text and numbers is no answer."""
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "replace").decode()[:255]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def _words(value: Any) -> tuple[str, ...]:
    """Return a claim as words: OAuth writes scopes in one string (RFC 8693), others a list."""
    if isinstance(value, str):
        return tuple(value.split())
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _refused(code: str, detail: str) -> NotAuthenticated:
    return NotAuthenticated(detail, code=code)
