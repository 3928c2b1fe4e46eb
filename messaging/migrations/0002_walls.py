"""Row-level security of chat's tables."""

from django.db import migrations

from tenants.isolation import EnableRowLevelSecurity


class Migration(migrations.Migration):
    dependencies = [("messaging", "0001_initial"), ("tenants", "0002_walls")]

    operations = [
        EnableRowLevelSecurity("Conversation"),
        EnableRowLevelSecurity("Participant"),
        EnableRowLevelSecurity("ChatFile"),
        EnableRowLevelSecurity("ChatMessage"),
        EnableRowLevelSecurity("Reaction"),
        EnableRowLevelSecurity("UnreadNotice"),
    ]
