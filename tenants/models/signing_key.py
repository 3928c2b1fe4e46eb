"""Keys with which the service signs its own tokens."""

from __future__ import annotations

from django.db import models

from tenants.isolation import UUIDModel


class SigningKey(UUIDModel):
    """An RSA key pair; the private half is encrypted at rest. ``id`` is the ``kid``.

    The newest key that is not retired signs; all whose ``retired_at`` lies ahead or is unset verify and are published.
    """

    algorithm = models.CharField(max_length=8, default="RS256")
    public_pem = models.TextField()
    private_pem_encrypted = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)
    # No token that it signed lasts longer than this.
    tokens_until = models.DateTimeField(null=True, blank=True)
    # From this moment the key neither signs nor verifies.
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "signing_key"
        ordering = ["-id"]

    @property
    def associated_data(self) -> bytes:
        """What binds the ciphertext to this row."""
        return b"signing-key:" + self.id.bytes
