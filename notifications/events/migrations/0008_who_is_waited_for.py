"""Events may wait for a tenant's user service; those are found without reading the others."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

_STATUS = [
    ("pending", "Pending"),
    ("waiting", "Waiting"),
    ("processed", "Processed"),
    ("ignored", "Ignored"),
    ("failed", "Failed"),
]


class Migration(migrations.Migration):
    atomic = False  # the table may be large: it is written to while the index is made

    dependencies = [("events", "0007_tenants_are_not_locked")]

    operations = [
        migrations.AlterField(
            model_name="event",
            name="status",
            field=models.CharField(choices=_STATUS, default="pending", max_length=16),
        ),
        AddIndexConcurrently(
            model_name="event",
            index=models.Index(
                condition=models.Q(status="waiting"),
                fields=["processed_at"],
                name="event_waiting",
            ),
        ),
    ]
