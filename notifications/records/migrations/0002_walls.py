"""Row-level security of the records' tables, and their first partitions."""

from django.db import migrations
from django.utils import timezone

from notification_service.lib.partitions import ensure_partitions
from tenants.isolation import EnableRowLevelSecurity


def first_partitions(apps, schema_editor):
    ensure_partitions(["notification_record", "attempt", "record_event"], now=timezone.now())


class Migration(migrations.Migration):
    dependencies = [("records", "0001_initial"), ("tenants", "0002_walls")]

    operations = [
        EnableRowLevelSecurity("NotificationRecord"),
        EnableRowLevelSecurity("Attempt"),
        EnableRowLevelSecurity("RecordEvent"),
        EnableRowLevelSecurity("IdempotencyKey"),
        migrations.RunPython(first_partitions, migrations.RunPython.noop),
    ]
