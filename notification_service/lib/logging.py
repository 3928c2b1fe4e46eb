"""Structured logs: one JSON object a line, with the request's and the tenant's id, secrets and bodies masked."""

from __future__ import annotations

import logging
import logging.config
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import orjson
import structlog

from notification_service.lib.masking import is_secret_name, mask_address, mask_secrets

#: Fields that hold words written to people; a log has no business with them.
_BODIES = frozenset({"content", "context", "body", "html", "text", "subject", "payload", "rendered"})
_ADDRESSES = frozenset({"recipient", "to", "address", "to_email", "phone"})

Event = MutableMapping[str, Any]


def _mask(_: Any, __: str, event: Event) -> Event:
    for name, value in list(event.items()):
        if name in _BODIES:
            event[name] = "[left out]"
        elif name in _ADDRESSES and isinstance(value, str):
            event[name] = mask_address(value)
        elif is_secret_name(name) or isinstance(value, str | dict | list | tuple):
            event[name] = mask_secrets({name: value})[name]
    return event


def _dumps(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def configure_logging(*, level: str, format: str, directory: Path) -> None:
    """Set up logging for this process: to standard error, and to ``notifications_service.log`` in ``directory``.

    ``format`` is ``json`` or ``console`` (for people) and concerns standard error; the file, which rotates at 20 MB
    and may be shared by several processes, is always JSON.
    """
    directory.mkdir(parents=True, exist_ok=True)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info if format == "json" else _keep,
        _mask,
    ]
    as_json = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(serializer=_dumps),
    ]
    as_text = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        # Plain: the rich formatter prints local variables, and with them secrets.
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
    formatter = "structlog.stdlib.ProcessorFormatter"
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "json": {"()": formatter, "processors": as_json, "foreign_pre_chain": shared},
                "console": {"()": formatter, "processors": as_text, "foreign_pre_chain": shared},
            },
            "handlers": {
                "stderr": {"class": "logging.StreamHandler", "formatter": format},
                "file": {
                    "class": "concurrent_log_handler.ConcurrentRotatingFileHandler",
                    "formatter": "json",
                    "filename": str(directory / "notifications_service.log"),
                    "maxBytes": 20 * 1024 * 1024,
                    "backupCount": 10,
                    "lock_file_directory": str(directory),
                    "delay": True,
                },
            },
            "root": {"handlers": ["stderr", "file"], "level": level},
            "loggers": {
                "django.request": {"level": "ERROR"},
                "django.server": {"level": "WARNING"},
                "uvicorn.access": {"level": "WARNING"},
                "uvicorn.error": {"level": "INFO"},
                "uvicorn": {"handlers": [], "propagate": True},
                "celery.worker.strategy": {"level": "WARNING"},
                "celery.app.trace": {"level": "WARNING"},
                "celery.beat": {"level": "WARNING"},
                "psycopg.pool": {"level": "ERROR"},
            },
        }
    )
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _keep(_: Any, __: str, event: Event) -> Event:
    return event
