"""Row-level security of people, roles, categories, preferences and user services."""

from django.db import migrations

from tenants.isolation import EnableRowLevelSecurity


class Migration(migrations.Migration):
    dependencies = [("recipients", "0004_people"), ("tenants", "0002_walls")]

    operations = [
        EnableRowLevelSecurity("Recipient"),
        EnableRowLevelSecurity("Role"),
        EnableRowLevelSecurity("Category"),
        EnableRowLevelSecurity("Preference"),
        EnableRowLevelSecurity("UserService"),
    ]
