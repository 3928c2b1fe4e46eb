"""Row-level security of the recipients' tables."""

from django.db import migrations

from tenants.isolation import EnableRowLevelSecurity


class Migration(migrations.Migration):
    dependencies = [("recipients", "0001_initial"), ("tenants", "0002_walls")]

    operations = [EnableRowLevelSecurity("Device"), EnableRowLevelSecurity("Suppression")]
