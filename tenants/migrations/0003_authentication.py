"""What authentication asks at every request, in one round trip each.

The functions look across tenants (nobody has a scope before it is known who is calling): they enter the platform scope
for their one query and leave it again, with or without a transaction around them.
"""

from django.db import migrations, models

SIGNED_IN = """
CREATE FUNCTION signed_in(wanted_user uuid, wanted_tenant uuid, wanted_session uuid)
RETURNS TABLE (
    email varchar, name varchar, is_active boolean, platform_role varchar,
    tenant_status varchar, role varchar, session_open boolean
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    outer_scope text := coalesce(current_setting('app.scope', true), '');
BEGIN
    PERFORM set_config('app.scope', 'platform', true);
    RETURN QUERY
        SELECT u.email, u.name, u.is_active, u.platform_role, t.status, m.role,
            wanted_session IS NULL OR EXISTS (
                SELECT 1 FROM refresh_token r
                WHERE r.family = wanted_session AND r.user_id = u.id AND r.revoked_at IS NULL
            )
        FROM app_user u
        LEFT JOIN tenant t ON t.id = wanted_tenant
        LEFT JOIN membership m ON m.tenant_id = t.id AND m.user_id = u.id
        WHERE u.id = wanted_user;
    PERFORM set_config('app.scope', outer_scope, true);
END $$;
"""

FIND_API_KEY = """
CREATE FUNCTION find_api_key(wanted_key varchar, wanted_hash bytea)
RETURNS TABLE (
    id uuid, tenant_id uuid, tenant_status varchar, name varchar, mode varchar, key varchar, secret_hash bytea,
    previous_secret_hash bytea, previous_secret_expires_at timestamptz, scopes varchar[], allowed_networks varchar[],
    status varchar, expires_at timestamptz, last_used_at timestamptz
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    outer_scope text := coalesce(current_setting('app.scope', true), '');
BEGIN
    PERFORM set_config('app.scope', 'platform', true);
    RETURN QUERY
        SELECT k.id, k.tenant_id, t.status, k.name, k.mode, k.key, k.secret_hash, k.previous_secret_hash,
            k.previous_secret_expires_at, k.scopes, k.allowed_networks, k.status, k.expires_at, k.last_used_at
        FROM api_key k JOIN tenant t ON t.id = k.tenant_id
        WHERE k.key = wanted_key OR k.secret_hash = wanted_hash OR k.previous_secret_hash = wanted_hash;
    PERFORM set_config('app.scope', outer_scope, true);
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("tenants", "0002_walls")]

    operations = [
        migrations.AddField("signingkey", "tokens_until", models.DateTimeField(blank=True, null=True)),
        migrations.RunSQL(SIGNED_IN, "DROP FUNCTION signed_in"),
        migrations.RunSQL(FIND_API_KEY, "DROP FUNCTION find_api_key"),
    ]
