"""Alerts to the platform's operators: every part of the service is looked at, and whoever has to know is told once.

Each web process looks for itself, so that there is somebody left to tell. They agree through Redis on who mails; while
Redis is down each of them mails: better two messages about it than none.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from smtplib import SMTPException
from typing import Any, Final, Literal

import structlog
from django.conf import settings
from django.core.mail import send_mail
from django.db import InterfaceError, OperationalError, connection

from notification_service.health import examine
from notification_service.lib.redis import RedisUnavailable, attempt
from notifications.records.backlog import backlog
from notifications.records.states import Lane

log = structlog.get_logger(__name__)

#: A part is reported after it was found failing so many times in a row.
FAILURES_TO_ALERT: Final = 2
_FAILING_SECONDS: Final = 7 * 86_400
#: Within a look and this time (seconds) all web processes have seen that a part works again; and it takes longer than
#: that until a part that fails anew is told and works again.
_OK_SECONDS: Final = 10

State = Literal["failing", "ok"]


class Watcher:
    """Looks at every part of the service, in a thread of its own while it is started."""

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}
        #: The parts that this process has found failing or working, and told.
        self._told: dict[str, State] = {}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look every ``ALERT_CHECK_SECONDS`` (0: never) from now on."""
        if settings.ALERT_CHECK_SECONDS > 0 and self._thread is None:
            self._stopping = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(self._stopping,), name="alerts", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Look no more. Does not wait for a look that is under way."""
        self._stopping.set()
        self._thread = None

    def check(self) -> None:
        """Look at every part once, and tell what there is to tell. Never raises."""
        try:
            self._check()
        except Exception:  # whatever it is, the next look may be luckier
            log.exception("operator_check_failed")
        finally:
            connection.close()

    def _run(self, stopping: threading.Event) -> None:
        while not stopping.wait(settings.ALERT_CHECK_SECONDS):
            self.check()

    def _check(self) -> None:
        parts = {**examine(), **examine_queues()}
        failing: dict[str, str] = {}
        working: dict[str, str] = {}
        for part, found in parts.items():
            self._failures[part] = 0 if found["ok"] else self._failures.get(part, 0) + 1
            told = self._told.get(part)
            if self._failures[part] >= FAILURES_TO_ALERT and told != "failing":
                failing[part] = str(found["detail"])
            elif found["ok"] and told != "ok":
                working[part] = str(found["detail"])
        if failing:
            self._alert(failing)
        if working:
            self._recover(working)

    def _alert(self, parts: Mapping[str, str]) -> None:
        for part, detail in parts.items():
            log.error("operator_alert", part=part, detail=detail)
            self._told[part] = "failing"
        mine = [part for part in parts if _was(part, "failing") != "failing"]
        if mine and not _mail("Not working", mine, parts):
            for part in mine:  # nobody was told: the next look tries again
                del self._told[part]
                _forget(part)

    def _recover(self, parts: Mapping[str, str]) -> None:
        news = []
        for part, detail in parts.items():
            before = self._told.get(part)
            was = _was(part, "ok", only_known=before is None)
            self._told[part] = "ok"
            if before == "failing":
                log.warning("operator_recovery", part=part, detail=detail)
            # What failed when we started may have been told by a process that is no more.
            if was == "failing" or (before == "failing" and was != "ok"):
                news.append(part)
        if news:
            _mail("Works again", news, parts)


def examine_queues() -> dict[str, dict[str, Any]]:
    """Look at the age of each lane's oldest due record, in the shape of ``health.examine``.

    A long campaign waits in its lane for hours, as it should: ``bulk`` fails only if nothing of it is taken any more.
    While the database is away there is nothing to say: ``examine`` says that.
    """
    try:
        lanes = backlog(count_limit=1)
    except (OperationalError, InterfaceError):
        return {}
    limit = settings.QUEUE_AGE_ALERT_SECONDS
    return {
        f"queue {lane}": {
            "ok": found.oldest <= limit or (lane == Lane.BULK and found.claimed is not None and found.claimed <= limit),
            "detail": f"the oldest due message has waited for {found.oldest:.0f} s",
        }
        for lane, found in lanes.items()
    }


def _key(part: str) -> str:
    return f"operator-alert:{part}"


def _was(part: str, state: State, *, only_known: bool = False) -> str | None:
    """Say to all web processes how a part is, and return what was said before: None if nothing, or Redis is down.

    With ``only_known``, nothing is said of a part of which nothing was said before.
    """
    keep = _FAILING_SECONDS if state == "failing" else int(settings.ALERT_CHECK_SECONDS) + _OK_SECONDS
    try:
        was = attempt(lambda client: client.set(_key(part), state, ex=keep, xx=only_known, get=True))
    except RedisUnavailable:
        return None
    return None if was is None else str(was)


def _forget(part: str) -> None:
    try:
        attempt(lambda client: client.delete(_key(part)))
    except RedisUnavailable:
        return


def _mail(what: str, parts: Sequence[str], details: Mapping[str, str]) -> bool:
    """Mail the operators, if there are any and the platform can mail; return False if that went wrong."""
    if not settings.OPERATOR_EMAILS or not settings.EMAIL_URL:
        return True
    lines = [f"- {part}: {details[part]}" for part in parts]
    try:
        send_mail(
            f"{what}: {', '.join(parts)}",
            f"{settings.PUBLIC_URL}\n\n" + "\n".join(lines) + "\n",
            None,
            settings.OPERATOR_EMAILS,
        )
    except (OSError, SMTPException) as error:
        log.warning("operator_mail_failed", parts=list(parts), error=type(error).__name__)
        return False
    return True
