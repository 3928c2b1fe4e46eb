"""The three walls between tenants."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.apps import apps
from django.db import ProgrammingError, connection, transaction

from notification_service.lib.scope import NoScope, current_scope, intake_scope, platform_scope, tenant_scope
from notifications.recipients.models import Category, Preference, Suppression
from notifications.records.models import IdempotencyKey
from tenants.isolation import TenantManager, tenant_models
from tenants.models import Membership, Role, Tenant, User

MODELS = tenant_models(apps)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.db_table)
def test_every_tenant_owned_table_is_walled_for_its_owner_too(db: None, model: type) -> None:
    """A new TenantModel whose migration forgets EnableRowLevelSecurity fails here."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = %s::regclass", [model._meta.db_table]
        )
        assert cursor.fetchone() == (True, True)
        cursor.execute(
            "SELECT policyname, cmd, permissive FROM pg_policies WHERE tablename = %s ORDER BY 1",
            [model._meta.db_table],
        )
        expected = [("intake", "INSERT", "PERMISSIVE"), ("tenant_isolation", "ALL", "PERMISSIVE")]
        if model is IdempotencyKey:  # the intake sees which of the keys that it wrote were new
            expected.insert(1, ("intake_claims", "SELECT", "PERMISSIVE"))
        if model in (Suppression, Preference, Category):  # and which recipients it must not accept in passing
            expected.insert(1, ("intake_reads", "SELECT", "PERMISSIVE"))
        assert cursor.fetchall() == expected


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.db_table)
def test_every_tenant_owned_model_fails_closed(db: None, model: type) -> None:
    assert isinstance(model._default_manager, TenantManager)
    assert isinstance(model._base_manager, TenantManager), "derive Meta from TenantModel.Meta"
    with pytest.raises(NoScope):
        model._default_manager.count()
    with intake_scope(), pytest.raises(NoScope):
        model._default_manager.count()


def test_the_service_connects_as_a_role_that_can_not_bypass_the_wall(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (False, False)


@pytest.fixture
def memberships(tenant: Tenant, other_tenant: Tenant, make_member: Callable[..., User]) -> None:
    make_member(tenant, Role.ADMIN)
    make_member(other_tenant, Role.ADMIN)
    make_member(other_tenant, Role.HR)


def raw_count(table: str = "membership") -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        return int(cursor.fetchone()[0])


def test_each_scope_sees_what_it_may(memberships: None, tenant: Tenant, other_tenant: Tenant) -> None:
    with tenant_scope(tenant.id):
        assert (raw_count(), Membership.objects.count()) == (1, 1)
    with tenant_scope(other_tenant.id):
        assert (raw_count(), Membership.objects.count()) == (2, 2)
    with platform_scope("test"):
        assert (raw_count(), Membership.objects.count()) == (3, 3)
    with intake_scope():
        assert raw_count() == 0
    assert raw_count() == 0


def test_a_tenant_can_not_write_anothers_rows(memberships: None, tenant: Tenant, other_tenant: Tenant) -> None:
    user = User.objects.create_user("stranger@example.com")
    with tenant_scope(tenant.id):
        with pytest.raises(ProgrammingError, match="row-level security"), transaction.atomic():
            Membership.objects.create(tenant=other_tenant, user=user)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE membership SET role = 'owner'")
            assert cursor.rowcount == 1
            cursor.execute("DELETE FROM membership WHERE tenant_id = %s", [other_tenant.id])
            assert cursor.rowcount == 0


def test_scopes_nest_and_end(memberships: None, tenant: Tenant, other_tenant: Tenant) -> None:
    with tenant_scope(tenant.id):
        with tenant_scope(other_tenant.id):
            assert raw_count() == 2
        assert raw_count() == 1
        with pytest.raises(ValueError, match="boom"), tenant_scope(other_tenant.id):
            raise ValueError("boom")
        assert raw_count() == 1
        with pytest.raises(ProgrammingError), platform_scope("test"), connection.cursor() as cursor:
            cursor.execute("SELECT no_such_column FROM membership")
        assert raw_count() == 1
    assert current_scope() is None
    assert raw_count() == 0


@pytest.mark.django_db(transaction=True)
def test_a_scope_does_not_outlive_its_transaction(memberships: None, tenant: Tenant) -> None:
    with tenant_scope(tenant.id):
        assert raw_count() == 1
    assert raw_count() == 0


def test_the_audit_log_can_only_grow(tenant: Tenant) -> None:
    with platform_scope("test"), connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_log (id, tenant_id, actor_type, actor_id, actor_label, action, resource_type,"
            " resource_id, metadata, user_agent, created_at)"
            " VALUES (gen_random_uuid(), %s, 'system', '', '', 'a', 'b', '', '{}', '', now())",
            [tenant.id],
        )
        for change in ("UPDATE audit_log SET action = 'x'", "DELETE FROM audit_log"):
            with pytest.raises(ProgrammingError, match="append-only"), transaction.atomic():
                cursor.execute(change)
