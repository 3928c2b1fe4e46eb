"""Wiring only: settings, addresses, servers, Celery."""

from notification_service.celery import app as celery_app

__all__ = ["celery_app"]
