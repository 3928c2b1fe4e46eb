"""Tenant isolation: the model base, the fail-closed manager, and the row-level-security policy of each table.

Every table that belongs to tenants is walled three times: the manager filters by the current scope and refuses to work
without one; PostgreSQL filters again whatever the query says; and the suite proves both for every model it finds.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self, TypeVar
from uuid import UUID

from django.apps.registry import Apps
from django.db import models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from notification_service.lib.ids import new_id
from notification_service.lib.scope import IntakeScope, NoScope, TenantScope, current_scope

M = TypeVar("M", bound=models.Model, covariant=True)


class TenantManager(models.Manager[M]):
    """Rows of the current scope only. Outside every scope each query raises ``NoScope``."""

    def get_queryset(self) -> models.QuerySet[M]:
        scope = current_scope()
        if scope is None:
            raise NoScope(f"{self.model.__name__} was queried outside tenant_scope(...)")
        if isinstance(scope, IntakeScope):
            raise NoScope(f"{self.model.__name__} can not be read in intake_scope(), only inserted")
        rows = super().get_queryset()
        return rows.filter(tenant_id=scope.tenant_id) if isinstance(scope, TenantScope) else rows


class UUIDModel(models.Model):
    """A model whose key is a UUIDv7."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)

    class Meta:
        abstract = True


class TenantModel(UUIDModel):
    """A model whose rows belong to one tenant. Its migration must apply ``EnableRowLevelSecurity``."""

    #: Rows whose tenant is null (of the platform itself) are seen by nobody but ``platform_scope``.
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")

    objects: ClassVar[TenantManager[Self]] = TenantManager()

    class Meta:
        abstract = True
        base_manager_name = "objects"

    tenant_id: UUID


def tenant_models(registry: Apps) -> list[type[TenantModel]]:
    """Return every concrete tenant-owned model, sorted by table name."""
    found = [model for model in registry.get_models() if issubclass(model, TenantModel)]
    return sorted(found, key=lambda model: model._meta.db_table)


# The settings are read in sub-selects, so that PostgreSQL evaluates them once per query and not once per row.
_TENANT = "tenant_id = (SELECT nullif(current_setting('app.tenant_id', true), ''))::uuid"
_PLATFORM = "(SELECT current_setting('app.scope', true)) = 'platform'"
_INTAKE = "(SELECT current_setting('app.scope', true)) = 'intake'"


class EnableRowLevelSecurity(Operation):
    """Migration operation: wall a tenant-owned table with policies that hold for its owner too (``FORCE``).

    PostgreSQL documents the mechanism under "Row Security Policies". A partitioned table is walled at its root;
    partitions are only ever reached through it.
    """

    reduces_to_sql = True
    reversible = True

    def __init__(self, model_name: str) -> None:
        self.model_name = model_name

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Policies are no part of Django's state."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        table = self._table(app_label, schema_editor, to_state)
        for statement in (
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
            f"CREATE POLICY tenant_isolation ON {table} "
            f"USING ({_TENANT} OR {_PLATFORM}) WITH CHECK ({_TENANT} OR {_PLATFORM})",
            f"CREATE POLICY intake ON {table} FOR INSERT WITH CHECK ({_INTAKE})",
        ):
            schema_editor.execute(statement)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        table = self._table(app_label, schema_editor, from_state)
        for statement in (
            f"DROP POLICY IF EXISTS intake ON {table}",
            f"DROP POLICY IF EXISTS tenant_isolation ON {table}",
            f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
        ):
            schema_editor.execute(statement)

    def describe(self) -> str:
        return f"Wall {self.model_name} by tenant with row-level security"

    @property
    def migration_name_fragment(self) -> str:
        return f"{self.model_name.lower()}_row_level_security"

    def deconstruct(self) -> tuple[str, list[Any], dict[str, Any]]:
        return self.__class__.__qualname__, [], {"model_name": self.model_name}

    def _table(self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, state: ProjectState) -> str:
        model = state.apps.get_model(app_label, self.model_name)
        return schema_editor.quote_name(model._meta.db_table)
