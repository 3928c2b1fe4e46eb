"""The intake may see which idempotency keys its own insert could claim."""

from django.db import migrations

POLICY = """
CREATE POLICY intake_claims ON idempotency_key FOR SELECT
    USING ((SELECT current_setting('app.scope', true)) = 'intake')
"""


class Migration(migrations.Migration):
    dependencies = [("records", "0002_walls")]

    operations = [migrations.RunSQL(POLICY, "DROP POLICY intake_claims ON idempotency_key")]
