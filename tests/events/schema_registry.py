"""A schema registry: a real HTTP server that speaks the part of the documented API that reading and writing need.

https://docs.confluent.io/platform/current/schema-registry/develop/api.html
"""

from __future__ import annotations

import base64
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class SchemaRegistry:
    """Subjects with versions; each schema has an id. ``down`` makes it answer 503; ``asked`` are the paths read."""

    def __init__(self, login: str = "") -> None:
        self.schemas: list[dict[str, Any]] = []
        self.subjects: dict[str, list[int]] = {}
        self.login, self.down = login, False
        self.asked: list[str] = []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.asked.append(self.path)
                self._answer(*registry.get(self.path, self.headers.get("Authorization", "")))

            def do_POST(self) -> None:
                sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self._answer(*registry.post(self.path, sent))

            def _answer(self, status: int, body: Any) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def register(self, subject: str, schema: Any, kind: str = "JSON", references: Any = ()) -> int:
        """Add a version to a subject; return the schema's id."""
        text = schema if isinstance(schema, str) else json.dumps(schema)
        found: dict[str, Any] = {"schema": text}
        if kind != "AVRO":  # the API leaves the default out
            found["schemaType"] = kind
        if references:
            found["references"] = list(references)
        if found not in self.schemas:
            self.schemas.append(found)
        number = self.schemas.index(found) + 1
        versions = self.subjects.setdefault(subject, [])
        if number not in versions:
            versions.append(number)
        return number

    def get(self, path: str, authorization: str) -> tuple[int, Any]:
        """Answer a GET."""
        if self.down:
            return 503, {"error_code": 50003, "message": "away"}
        if self.login and authorization != "Basic " + base64.b64encode(self.login.encode()).decode():
            return 401, {"error_code": 401, "message": "Unauthorized"}
        if found := re.match(r"/schemas/ids/(\d+)", path):
            number = int(found[1])
            if 0 < number <= len(self.schemas):
                return 200, self.schemas[number - 1]
            return 404, {"error_code": 40403, "message": "Schema not found"}
        if found := re.match(r"/subjects/([^/]+)/versions/(\d+)", path):
            versions, version = self.subjects.get(found[1], []), int(found[2])
            if 0 < version <= len(versions):
                number = versions[version - 1]
                return 200, {"subject": found[1], "version": version, "id": number, **self.schemas[number - 1]}
        return 404, {"error_code": 40401, "message": "Subject not found"}

    def post(self, path: str, sent: dict[str, Any]) -> tuple[int, Any]:
        """Answer a POST: the registration of a version."""
        found = re.match(r"/subjects/([^/?]+)/versions", path)
        if not found:
            return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}
        kind = sent.get("schemaType") or "AVRO"
        return 200, {"id": self.register(found[1], sent["schema"], kind, sent.get("references") or ())}

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()
