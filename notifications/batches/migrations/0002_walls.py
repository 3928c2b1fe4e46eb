"""Row-level security of the batches' tables."""

from django.db import migrations

from tenants.isolation import EnableRowLevelSecurity


class Migration(migrations.Migration):
    dependencies = [("batches", "0001_initial"), ("tenants", "0002_walls")]

    operations = [EnableRowLevelSecurity(name) for name in ("Batch", "Chunk", "Job", "StagedRow", "BrokenRow")]
