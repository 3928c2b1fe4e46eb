"""A tenant's own user service: asked about people of whom nobody here has heard.

``GET`` of the tenant's address with the id in it and a bearer secret. The answer is an object with the fields of a
user; 404 says that there is nobody. Answers, also those, are believed for five minutes. A service that keeps failing is
left alone for a while, and no send waits for it longer than three seconds.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import quote, urlsplit
from uuid import UUID, uuid5

import aiohttp
import orjson
import structlog
from django.conf import settings

from notification_service.lib.encryption import key_ring
from notification_service.lib.errors import InvalidInput, NotFound
from notification_service.lib.masking import is_masked, mask
from notification_service.lib.net import NetworkPolicy, check_url
from notification_service.lib.redis import RedisUnavailable, attempt
from notification_service.lib.scope import current_tenant_id
from notifications.providers.http_client import guarded_session, read_answer
from notifications.recipients.models import UserService
from notifications.recipients.people import RECEIVING, Person
from notifications.recipients.user_fields import ALIASES, DEFAULTS, check_user
from tenants import audit
from tenants.callers import Caller
from tenants.limits import default_region

PLACE: Final = "{user_id}"
CACHE_SECONDS: Final = 300
TIMEOUT: Final = 3.0
FAILURES_TO_OPEN: Final = 5
OPEN_SECONDS: Final = 30
_AT_ONCE: Final = 20
_SPACE: Final = UUID("4f1c4d1e-3a55-5c39-8d0e-0f5f6f2f7a10")

log = structlog.get_logger(__name__)


class _Failed(Exception):
    """The service did not say who somebody is, nor that there is nobody."""


@dataclass(frozen=True, slots=True)
class Found:
    """``people`` by the id that was asked; ``unanswered`` are ids of which the service said nothing in time."""

    people: dict[str, Person] = field(default_factory=dict)
    unanswered: frozenset[str] = frozenset()


def ask_about(user_ids: Collection[str]) -> Found:
    """Return what the tenant's user service says of people; nothing if there is none. Needs the tenant's scope.

    Raises nothing for what the service does.
    """
    service = UserService.objects.filter(enabled=True).first() if user_ids else None
    if service is None:
        return Found()
    tenant_id = current_tenant_id()
    known = _remembered(tenant_id, user_ids)
    unknown = sorted(set(user_ids) - known.keys())
    if unknown and not _is_open(tenant_id):
        secret = key_ring().decrypt(bytes(service.secret_encrypted), associated_data=service.associated_data).decode()
        answers, failures = asyncio.run(_ask(service.url, secret, unknown))
        _report(tenant_id, good=len(answers), bad=failures)
        _remember(tenant_id, answers)
        known |= answers
        if failures:
            log.warning("user_service_failed", tenant_id=str(tenant_id), failures=failures)
    region = default_region(tenant_id)
    people = {
        user_id: person
        for user_id, about in known.items()
        if about is not None and (person := _person(tenant_id, user_id, about, region)) is not None
    }
    return Found(people, frozenset(set(user_ids) - known.keys()))


def set_user_service(caller: Caller, *, url: str, secret: str, enabled: bool = True) -> UserService:
    """Store the address and the secret; a masked secret is the one that is stored, as long as the host stays.

    Needs the tenant's scope. Raises ``InvalidInput`` naming the field.
    """
    parts = _check_url(url)
    if not secret or not (is_masked(secret) or (secret.isascii() and secret.isprintable())):
        message = "Must be printable ASCII: it is sent in a header."
        raise InvalidInput.at("secret", message)
    service = UserService.objects.select_for_update().first()
    if is_masked(secret):
        if service is None or urlsplit(service.url)[:2] != parts:
            message = "Enter the secret itself: it is not sent to a new host unseen."
            raise InvalidInput.at("secret", message)
        encrypted = bytes(service.secret_encrypted)
    else:
        service = service or UserService(tenant_id=caller.required_tenant_id())
        encrypted = key_ring().encrypt(secret.encode(), associated_data=service.associated_data)
    service.url, service.secret_encrypted, service.enabled = url, encrypted, enabled
    service.save()
    _forget(service.tenant_id)
    audit.record(caller, "user_service.updated", "user_service", service.id, url=url, enabled=enabled)
    return service


def get_user_service() -> UserService:
    """Return the tenant's setting. Needs its scope. Raises ``NotFound``."""
    service = UserService.objects.first()
    if service is None:
        raise NotFound
    return service


def delete_user_service(caller: Caller) -> None:
    """Ask nobody any more. Raises ``NotFound``."""
    service = get_user_service()
    audit.record(caller, "user_service.deleted", "user_service", service.id)
    service.delete()
    _forget(caller.required_tenant_id())


def masked_secret(service: UserService) -> str:
    """Return the secret as it may be shown."""
    clear = key_ring().decrypt(bytes(service.secret_encrypted), associated_data=service.associated_data)
    return mask(clear.decode())


# --- Asking -------------------------------------------------------------------------------------------------------

_About = dict[str, Any] | None


async def _ask(url: str, secret: str, user_ids: Collection[str]) -> tuple[dict[str, _About], int]:
    """Return the answers by id (None: there is nobody), and how many questions failed."""
    answers: dict[str, _About] = {}
    policy = NetworkPolicy.parse(settings.OUTBOUND_ALLOWED_NETWORKS)
    failures = 0
    left = iter(user_ids)

    async def lane(session: aiohttp.ClientSession) -> None:
        nonlocal failures
        for user_id in left:
            if failures >= FAILURES_TO_OPEN:
                return
            try:
                answers[user_id] = await _ask_one(session, url.replace(PLACE, quote(user_id, safe="")))
            except _Failed:
                failures += 1

    headers = {"Authorization": f"Bearer {secret}", "Accept": "application/json", "User-Agent": "notification-service"}
    async with guarded_session(
        policy, clear_text=url.startswith("http:"), headers=headers, timeout=aiohttp.ClientTimeout(total=TIMEOUT)
    ) as session:
        try:
            async with asyncio.timeout(TIMEOUT):
                await asyncio.gather(*(lane(session) for _ in range(min(_AT_ONCE, len(user_ids)))))
        except TimeoutError:
            failures += 1
    return answers, failures


async def _ask_one(session: aiohttp.ClientSession, url: str) -> _About:
    try:
        async with session.get(url, allow_redirects=False) as response:
            if response.status in (404, 410):
                return None
            if response.status != 200:
                raise _Failed
            about = orjson.loads(await read_answer(response.content))
    except (aiohttp.ClientError, OSError, ValueError):
        raise _Failed from None
    if not isinstance(about, dict):
        raise _Failed
    found = {ALIASES.get(key, key): value for key, value in about.items()}
    return {name: found[name] for name in DEFAULTS if name in found}


def _person(tenant_id: UUID, user_id: str, about: Mapping[str, Any], region: str | None) -> Person | None:
    """Return who was described, without what is no good; None if they may not be written to."""
    values = dict(DEFAULTS)
    for name, value in about.items():
        try:
            values |= check_user({name: value}, region)
        except InvalidInput:
            if name == "status":
                return None
    if values["status"] not in RECEIVING:
        return None
    return Person(
        id=uuid5(_SPACE, f"{tenant_id}:{user_id}"),
        user_id=user_id,
        roles=tuple(values["roles"]),
        **{name: values[name] for name in ("name", "email", "phone", "locale", "time_zone", "metadata")},
    )


# --- What Redis remembers; while it is down, everything is asked anew ------------------------------------------------


def _remembered(tenant_id: UUID, user_ids: Collection[str]) -> dict[str, _About]:
    wanted = sorted(user_ids)
    generation = _generation(tenant_id)
    try:
        found = attempt(lambda client: client.mget([_key(tenant_id, generation, each) for each in wanted]))
    except RedisUnavailable:
        return {}
    texts = cast("list[str | None]", found)
    return {each: orjson.loads(text) for each, text in zip(wanted, texts, strict=True) if text is not None}


def _remember(tenant_id: UUID, answers: Mapping[str, _About]) -> None:
    generation = _generation(tenant_id)

    def store(client: Any) -> None:
        pipeline = client.pipeline(transaction=False)
        for user_id, about in answers.items():
            pipeline.set(_key(tenant_id, generation, user_id), orjson.dumps(about), ex=CACHE_SECONDS)
        pipeline.execute()

    _try(store)


def _forget(tenant_id: UUID) -> None:
    """Believe no answer of before, and try at once."""

    def command(client: Any) -> None:
        client.incr(f"{_prefix(tenant_id)}:generation")
        client.delete(f"{_prefix(tenant_id)}:open", f"{_prefix(tenant_id)}:failures")

    _try(command)


def _is_open(tenant_id: UUID) -> bool:
    try:
        return bool(attempt(lambda client: client.exists(f"{_prefix(tenant_id)}:open")))
    except RedisUnavailable:
        return False


def _report(tenant_id: UUID, *, good: int, bad: int) -> None:
    failures = f"{_prefix(tenant_id)}:failures"

    def command(client: Any) -> None:
        if good or not bad:
            client.delete(failures)
        elif client.incrby(failures, bad) >= FAILURES_TO_OPEN:
            client.set(f"{_prefix(tenant_id)}:open", "1", ex=OPEN_SECONDS)
            client.delete(failures)
        else:
            client.expire(failures, CACHE_SECONDS)

    _try(command)


def _try(command: Any) -> None:
    try:
        attempt(command)
    except RedisUnavailable:
        return


def _generation(tenant_id: UUID) -> str:
    try:
        return str(attempt(lambda client: client.get(f"{_prefix(tenant_id)}:generation")) or "0")
    except RedisUnavailable:
        return "0"


def _key(tenant_id: UUID, generation: str, user_id: str) -> str:
    return f"{_prefix(tenant_id)}:{generation}:{hashlib.sha256(user_id.encode()).hexdigest()}"


def _prefix(tenant_id: UUID) -> str:
    return f"tenant:{tenant_id}:user_service"


def _check_url(url: str) -> tuple[str, str]:
    """Return scheme and host. Raises ``InvalidInput`` for the field ``url``."""
    policy = NetworkPolicy.parse(settings.OUTBOUND_ALLOWED_NETWORKS)
    example = f"https://crm.example.com/users/{PLACE}"
    try:
        parts = check_url(url, policy, example=example)
        if "{" in parts.netloc or url.count(PLACE) != 1:
            raise ValueError(f"Must hold {PLACE} once, after the host, as {example} does.")
    except ValueError as error:
        raise InvalidInput.at("url", str(error)) from None
    return parts.scheme, parts.netloc
