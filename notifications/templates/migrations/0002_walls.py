"""Row-level security of the templates' tables."""

from django.db import migrations

from tenants.isolation import EnableRowLevelSecurity


class Migration(migrations.Migration):
    dependencies = [("message_templates", "0001_initial"), ("tenants", "0002_walls")]

    operations = [
        EnableRowLevelSecurity("MessageTemplate"),
        EnableRowLevelSecurity("MessageTemplateVersion"),
        EnableRowLevelSecurity("Lookup"),
    ]
