"""A throttle's window says when it is over; those that were open count as over."""

from django.db import migrations, models
from django.utils import timezone


class Migration(migrations.Migration):
    dependencies = [("events", "0004_more_walls")]

    operations = [
        migrations.AddField(
            model_name="throttle",
            name="expires_at",
            field=models.DateTimeField(db_index=True, default=timezone.now),
            preserve_default=False,
        ),
    ]
