"""Open and click tracking of campaign mail: signed links, put in when a message is rendered.

The target of a link is inside its signature, so that nobody can make our address lead anywhere else. What the links
report takes the way of every provider's report (``records/receipts.py``): kept once, ``delivery_state`` moves forward.
A campaign says ``track: false``; the critical lane is never tracked.
"""

from __future__ import annotations

import hmac
import html
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone
from django.utils.crypto import salted_hmac

from notification_service.lib.errors import NotFound
from notification_service.lib.scope import tenant_scope
from notifications.campaigns.models import Campaign
from notifications.providers.base import Receipt as Report
from notifications.records import receipts
from notifications.records.hooks import Finish
from notifications.records.queue import Claimed
from notifications.records.states import Lane

#: How reports of ours are named among those of providers.
REPORTER: Final = "tracking"
_NOBODY: Final = UUID(int=0)
_SIGNATURE: Final = 16
#: A link: its other attributes are passed over one by one and never again, whatever markup a stranger writes.
_LINK = re.compile(
    r"""(<a(?>\s+(?!href[\s=])[^\s"'<>/=]+(?>\s*=\s*(?>"[^"]*"|'[^']*'|[^\s"'<>=`]+))?+)*+\s+href\s*=\s*)"""
    r"""(?:"([^"]*)"|'([^']*)')""",
    re.IGNORECASE,
)
_BODY_END = re.compile(r"</body\s*>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Tracked:
    """What a link says: whose message, and, of a click, where it leads."""

    tenant_id: UUID
    record_id: UUID
    url: str = ""


def track_claimed(claimed: Sequence[Claimed]) -> Mapping[UUID, Finish]:
    """Have links and a pixel put into mails of campaigns that are tracked (``hooks.on_claimed``)."""
    return {
        each.id: put_links
        for each in claimed
        if each.campaign_id and each.channel == "email" and each.lane != Lane.CRITICAL and _is_tracked(each.campaign_id)
    }


def put_links(claimed: Claimed, content: dict[str, Any]) -> dict[str, Any]:
    """Return an email's content with its links rewritten and a pixel at its end; plain text stays as it is."""
    markup = content.get("html")
    if not markup:
        return content
    own = f"{settings.PUBLIC_URL}/u/"

    def rewrite(link: re.Match[str]) -> str:
        target = html.unescape(link[2] if link[2] is not None else link[3]).strip()
        if not target.lower().startswith(("http://", "https://")) or target.startswith(own):
            return link[0]
        return f'{link[1]}"{click_url(Tracked(claimed.tenant_id, claimed.id, target))}"'

    pixel = (
        f'<img src="{open_url(Tracked(claimed.tenant_id, claimed.id))}" width="1" height="1" alt="" '
        'style="display:block;border:0">'
    )
    markup = _LINK.sub(rewrite, markup)
    ends = [match.start() for match in _BODY_END.finditer(markup)]
    place = ends[-1] if ends else len(markup)
    return {**content, "html": markup[:place] + pixel + markup[place:]}


def open_url(tracked: Tracked) -> str:
    """Return the address of a message's pixel."""
    return f"{settings.PUBLIC_URL}/t/o/{_token('o', tracked)}.gif"


def click_url(tracked: Tracked) -> str:
    """Return the address that leads to a message's link by way of us."""
    return f"{settings.PUBLIC_URL}/t/c/{_token('c', tracked)}"


def read_token(kind: str, token: str) -> Tracked:
    """Return what a link says; ``kind`` is ``o`` or ``c``. Raises ``NotFound`` if we did not write it."""
    try:
        raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        signature, payload = raw[:_SIGNATURE], raw[_SIGNATURE:]
        if len(payload) < 32 or not hmac.compare_digest(signature, _sign(kind, payload)):
            raise NotFound
        return Tracked(UUID(bytes=payload[:16]), UUID(bytes=payload[16:32]), payload[32:].decode())
    except ValueError:
        raise NotFound from None


def report(kind: str, tracked: Tracked) -> None:
    """Report an open, or a click on one link; again and again makes no difference. Opens the tenant's scope."""
    link = sha256(tracked.url.encode()).hexdigest()[:16] if tracked.url else ""
    with tenant_scope(tracked.tenant_id):
        receipts.take_in(
            REPORTER,
            _NOBODY,
            [
                Report(
                    provider_message_id=tracked.record_id.hex,
                    state="opened" if kind == "o" else "clicked",
                    occurred_at=timezone.now(),
                    record_id=tracked.record_id,
                    code=link,
                    detail=tracked.url[:500],
                )
            ],
        )


def _token(kind: str, tracked: Tracked) -> str:
    payload = tracked.tenant_id.bytes + tracked.record_id.bytes + tracked.url.encode("utf-8", "replace")
    return urlsafe_b64encode(_sign(kind, payload) + payload).decode().rstrip("=")


def _sign(kind: str, payload: bytes) -> bytes:
    return hmac.digest(_key(kind, settings.SECRET_KEY), payload, "sha256")[:_SIGNATURE]


@lru_cache(maxsize=4)
def _key(kind: str, secret: str) -> bytes:
    return salted_hmac("notifications.tracking", kind, secret=secret, algorithm="sha256").digest()


@lru_cache(maxsize=1024)
def _is_tracked(campaign_id: UUID) -> bool:
    """Whether a campaign is tracked: nothing changes that once it sends."""
    return Campaign.objects.filter(id=campaign_id, track=True).exists()
