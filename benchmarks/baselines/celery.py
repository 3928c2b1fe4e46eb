"""The Celery application of the baselines, as Django's chapter of Celery's documentation has it.

With one thing that the documentation does not say: Celery's Django support closes the database connection after every
task, whatever ``CONN_MAX_AGE`` is, unless it is told how often one may be used again. A team that measures finds that
out, so the baseline keeps its connection; ``KEEP_DATABASE_CONNECTION=0`` is the variant without.
"""

import os

from celery import Celery

app = Celery("baselines")
app.config_from_object("django.conf:settings", namespace="CELERY")
if os.environ.get("KEEP_DATABASE_CONNECTION", "1") == "1":
    app.conf.CELERY_DB_REUSE_MAX = 1_000_000
app.autodiscover_tasks(["benchmarks.baselines"])
app.autodiscover_tasks(["benchmarks.baselines"], related_name="imports")
