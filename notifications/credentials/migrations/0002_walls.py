"""Row-level security of the credentials' table."""

from django.db import migrations

from tenants.isolation import EnableRowLevelSecurity


class Migration(migrations.Migration):
    dependencies = [("credentials", "0001_initial"), ("tenants", "0002_walls")]

    operations = [EnableRowLevelSecurity("Credential")]
