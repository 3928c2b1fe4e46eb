"""Row-level security of the inbox's tables."""

from django.db import migrations

from tenants.isolation import EnableRowLevelSecurity


class Migration(migrations.Migration):
    dependencies = [("inbox", "0001_initial"), ("tenants", "0002_walls")]

    operations = [
        EnableRowLevelSecurity("InboxStream"),
        EnableRowLevelSecurity("Broadcast"),
        EnableRowLevelSecurity("InboxMessage"),
        EnableRowLevelSecurity("InboxChange"),
        EnableRowLevelSecurity("Sound"),
    ]
