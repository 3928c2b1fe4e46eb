"""The intake may see whether somebody has chosen: a record to them takes the long way, which knows what they chose."""

from django.db import migrations

POLICY = """
CREATE POLICY intake_reads ON preference FOR SELECT USING ((SELECT current_setting('app.scope', true)) = 'intake');
CREATE POLICY intake_reads ON category FOR SELECT USING ((SELECT current_setting('app.scope', true)) = 'intake')
"""
BACK = "DROP POLICY intake_reads ON category; DROP POLICY intake_reads ON preference"


class Migration(migrations.Migration):
    dependencies = [("recipients", "0006_unverified")]

    operations = [migrations.RunSQL(POLICY, BACK)]
