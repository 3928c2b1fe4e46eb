"""People who administer or use a tenant, and the tokens that keep them signed in."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models.functions import Lower

from tenants.isolation import TenantModel, UUIDModel


class PlatformRole(models.TextChoices):
    """What a person may do across all tenants; most people have none."""

    SUPER_ADMIN = "super_admin", "Super admin"
    SUPPORT = "support", "Support"
    BILLING = "billing", "Billing"


class Role(models.TextChoices):
    """What a person may do in one tenant; ``tenants/permissions.py`` says what each role is allowed."""

    OWNER = "owner", "Owner"
    ADMIN = "admin", "Admin"
    HR = "hr", "HR"
    MANAGER = "manager", "Manager"
    EMPLOYEE = "employee", "Employee"
    CUSTOMER = "customer", "Customer"


class UserManager(BaseUserManager["User"]):
    """Makes users; an email is one person's, whatever its case."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Create a person. Without a password nobody can sign in as them until one is set."""
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Create a platform super admin (``manage.py createsuperuser``)."""
        return self.create_user(email, password, platform_role=PlatformRole.SUPER_ADMIN, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email=(username or "").strip().lower())


class User(AbstractBaseUser, UUIDModel):
    """A person who signs in. People are the platform's: one person may be a member of several tenants."""

    email = models.EmailField(max_length=254, unique=True)  # in lower case
    name = models.CharField(max_length=255, blank=True)
    platform_role = models.CharField(max_length=16, choices=PlatformRole, blank=True, default="")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects: ClassVar[UserManager] = UserManager()

    class Meta:
        db_table = "app_user"
        ordering = ["-id"]
        constraints = [models.CheckConstraint(condition=models.Q(email=Lower("email")), name="user_email_lower_case")]

    def __str__(self) -> str:
        return self.email

    @property
    def is_superuser(self) -> bool:
        """Whether this person may do anything, everywhere."""
        return self.is_active and self.platform_role == PlatformRole.SUPER_ADMIN

    @property
    def is_staff(self) -> bool:
        """Whether this person works for the platform (Django admin's question)."""
        return self.is_active and bool(self.platform_role)

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Django admin's question: platform staff may look, super admins may act."""
        return self.is_superuser or (self.is_staff and perm.rpartition(".")[2].startswith("view_"))

    def has_perms(self, perm_list: list[str], obj: object = None) -> bool:
        return all(self.has_perm(perm, obj) for perm in perm_list)

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_staff


class Membership(TenantModel):
    """A person's role in a tenant."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    role = models.CharField(max_length=64, choices=Role, default=Role.EMPLOYEE)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta(TenantModel.Meta):
        db_table = "membership"
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["tenant", "user"], name="membership_unique")]

    def __str__(self) -> str:
        return f"{self.user_id} as {self.role}"


class RefreshToken(UUIDModel):
    """One link of a chain of rotating refresh tokens. Using a link twice revokes the whole family.

    OAuth 2.0 Security Best Current Practice (RFC 9700), section 4.14.2.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+", null=True)
    family = models.UUIDField(db_index=True)
    secret_hash = models.BinaryField(max_length=32)
    used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "refresh_token"
