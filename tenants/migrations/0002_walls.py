"""Row-level security of the tenant-owned tables, and the append-only trigger of the audit log."""

from django.db import migrations

from tenants.isolation import EnableRowLevelSecurity

APPEND_ONLY = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""

REVERSE = """
DROP TRIGGER audit_log_append_only ON audit_log;
DROP FUNCTION refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0001_initial")]

    operations = [
        EnableRowLevelSecurity("Membership"),
        EnableRowLevelSecurity("ApiKey"),
        EnableRowLevelSecurity("AuditLog"),
        migrations.RunSQL(APPEND_ONLY, REVERSE),
    ]
