"""The Celery application of the baselines, as Django's chapter of Celery's documentation has it."""

from celery import Celery

app = Celery("baselines")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["benchmarks.baselines"])
