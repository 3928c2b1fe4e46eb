"""Row-level security of the rules' tables."""

from django.db import migrations

from tenants.isolation import EnableRowLevelSecurity


class Migration(migrations.Migration):
    dependencies = [("events", "0003_rules"), ("tenants", "0002_walls")]

    operations = [EnableRowLevelSecurity(name) for name in ("Rule", "RuleVersion", "Step", "Throttle")]
