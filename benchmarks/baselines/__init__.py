"""The usual way, as a competent Django team would write it from the documentation: what the service is compared with.

Django REST framework, the ORM, one Celery task a message, the vendor's usual client. Connections to the database are
kept, templates are compiled once, tables have the indexes they need. It does less than the service: it has no
idempotency keys, no rate limits, no attempts, no retries, no tenants' walls.
"""

from benchmarks.baselines.celery import app as celery_app

__all__ = ["celery_app"]
