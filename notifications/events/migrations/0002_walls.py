"""Row-level security of the events' tables."""

from django.db import migrations

from tenants.isolation import EnableRowLevelSecurity


class Migration(migrations.Migration):
    dependencies = [("events", "0001_initial"), ("tenants", "0002_walls")]

    operations = [
        EnableRowLevelSecurity(name)
        for name in ("Event", "EventSetting", "EventSource", "DeadLetter", "OutboxMessage")
    ]
