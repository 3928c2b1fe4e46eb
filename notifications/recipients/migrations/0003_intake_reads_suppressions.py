"""The intake may see whether a recipient is suppressed: such a record takes the long way."""

from django.db import migrations

POLICY = """
CREATE POLICY intake_reads ON suppression FOR SELECT USING ((SELECT current_setting('app.scope', true)) = 'intake')
"""


class Migration(migrations.Migration):
    dependencies = [("recipients", "0002_walls")]

    operations = [migrations.RunSQL(POLICY, "DROP POLICY intake_reads ON suppression")]
