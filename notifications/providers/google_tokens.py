"""Google service accounts: what an access token is asked for with.

The flow is RFC 7523 §2.1 as Google documents it: https://developers.google.com/identity/protocols/oauth2/service-account.
firebase-admin reads the account and signs; it keeps no app, no session and no token of its own, so that any number of
tenants can share a process.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass

from firebase_admin.credentials import Certificate
from google.auth import jwt
from pydantic import SecretStr

GOOGLE_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 an address
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """What is needed of a service account's key file."""

    client_email: str
    private_key: SecretStr
    private_key_id: str | None = None
    token_uri: str = GOOGLE_TOKEN_URI

    def fingerprint(self) -> bytes:
        """Return a key for caches that gives nothing away."""
        parts = (self.client_email, self.private_key.get_secret_value(), self.private_key_id or "", self.token_uri)
        return hashlib.sha256("\0".join(parts).encode()).digest()

    def assertion(self) -> str:
        """Return a signed claim to a token, good for an hour. Takes about 100 ms, most of it to prove the key."""
        account = Certificate(
            {
                "type": "service_account",
                "client_email": self.client_email,
                "private_key": self.private_key.get_secret_value(),
                "private_key_id": self.private_key_id,
                "token_uri": self.token_uri,
            }
        )
        now = int(time.time())
        claims = {"iss": self.client_email, "scope": SCOPE, "aud": GOOGLE_TOKEN_URI, "iat": now, "exp": now + 3600}
        return bytes(jwt.encode(account.signer, claims)).decode("ascii")  # type: ignore[no-untyped-call]

    async def form(self) -> dict[str, str]:
        """Return what the token endpoint is sent. Raises ``ValueError``."""
        try:
            return {"grant_type": GRANT_TYPE, "assertion": await asyncio.to_thread(self.assertion)}
        except ValueError:  # the words of the library may quote the key
            raise ValueError("The private key of the service account can not be used.") from None
