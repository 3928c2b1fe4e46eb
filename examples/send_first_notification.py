#!/usr/bin/env python3
"""Send one email through a running ``make up``, wait for its end, and look at what arrived. Standard library only.

Usage, in the directory where ``make up`` runs: python3 examples/send_first_notification.py [recipient]
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen
from uuid import uuid4

DEMO = Path(".local/demo.json")
ENDS = {"success", "failed", "suppressed", "cancelled"}
PATIENCE = 10.0  # seconds


def call(url: str, token: str = "", body: dict[str, Any] | None = None, **headers: str) -> dict[str, Any]:
    """Send a request (POST if there is a body) and return the JSON answer. Exits with the answer if it is an error."""
    request = Request(url, headers={"Content-Type": "application/json", **headers})  # noqa: S310 - demo.json's address
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    if body is not None:
        request.data = json.dumps(body).encode()
    try:
        with urlopen(request, timeout=10) as response:  # noqa: S310 - demo.json's address
            answer: dict[str, Any] = json.load(response)
            return answer
    except HTTPError as error:
        sys.exit(f"{error.code} from {url}: {error.read().decode()}")
    except URLError as error:
        sys.exit(f"{url} does not answer ({error.reason}): is `make up` running?")


def main() -> None:
    recipient = sys.argv[1] if len(sys.argv) > 1 else "ada@example.com"
    if not DEMO.exists():
        sys.exit(f"{DEMO} is not here: run `make up` first, and this in the same directory.")
    demo = json.loads(DEMO.read_text(encoding="utf-8"))
    records = f"{demo['base_url']}/api/notifications/records/"

    # The same key twice would send once: a retry after a lost answer is safe.
    key = {"Idempotency-Key": str(uuid4())}
    message = {
        "channel": "email",
        "recipient": recipient,
        "content": {"subject": "Hello {{name}}", "body": "<p>Welcome, {{name}}.</p>"},
        "context": {"name": "Ada"},
    }
    record = call(records, demo["token"], message, **key)
    sys.stdout.write(f"accepted  {record['id']}\n")

    patience = time.monotonic() + PATIENCE
    while record["status"] not in ENDS and time.monotonic() < patience:
        time.sleep(0.2)
        record = call(f"{records}{record['id']}/", demo["token"])
    sys.stdout.write(f"{record['status']:9} {record['provider_response']}\n\n")

    for step in call(f"{records}{record['id']}/timeline/", demo["token"])["timeline"]:
        sys.stdout.write(f"{step['at']}  {step['event']:10} {step.get('response') or ''}\n")

    caught = call(f"{demo['sandbox_url']}/api/messages?{urlencode({'to': recipient, 'limit': 1})}")["messages"]
    if caught:
        sys.stdout.write(f"\nThe sandbox caught “{caught[0]['subject']}”:\n{caught[0]['text']}\n")
    if record["status"] != "success":
        sys.exit(1)


if __name__ == "__main__":
    main()
