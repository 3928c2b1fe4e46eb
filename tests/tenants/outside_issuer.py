"""An outside issuer for tests: a real HTTP server with a JWK set, and keys that sign."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm


@dataclass
class Key:
    kid: str
    algorithm: str
    private: Any

    def jwk(self) -> dict[str, Any]:
        implementation = RSAAlgorithm if self.algorithm.startswith("RS") else ECAlgorithm
        return {**json.loads(implementation.to_jwk(self.private.public_key())), "kid": self.kid, "use": "sig"}


def rsa_key(kid: str) -> Key:
    return Key(kid, "RS256", rsa.generate_private_key(65537, 2048))


def ec_key(kid: str) -> Key:
    return Key(kid, "ES256", ec.generate_private_key(ec.SECP256R1()))


@dataclass
class Issuer:
    """Publishes ``keys``; ``broken`` makes it answer 500, ``body`` something else; ``asked`` counts."""

    url: str
    name: str = "https://auth.example.com"
    keys: list[Key] = field(default_factory=list)
    body: bytes | None = None
    broken: bool = False
    delay: float = 0.0
    asked: int = 0

    def sign(self, key: Key, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token as the Auth Service makes it; a claim of None is left out."""
        now = int(time.time())
        standard = {
            "iss": self.name,
            "iat": now,
            "exp": now + 300,
            "tenant_unique_id": "TEN-0001",
            "role": "admin",
            "user": {"id": 42, "username": "ada"},
            "email": "ada@acme.example",
        }
        payload = {name: value for name, value in {**standard, **claims}.items() if value is not None}
        return jwt.encode(payload, key.private, algorithm=key.algorithm, headers=headers or {"kid": key.kid})

    def entry(self, **fields: Any) -> dict[str, Any]:
        """Its entry of TRUSTED_ISSUERS."""
        return {"issuer": self.name, "jwks_url": self.url, **fields}


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked += 1
            time.sleep(issuer.delay)
            body = issuer.body or json.dumps({"keys": [key.jwk() for key in issuer.keys]}).encode()
            self.send_response(500 if issuer.broken else 200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = Issuer(f"http://127.0.0.1:{server.server_address[1]}/jwks.json")
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
