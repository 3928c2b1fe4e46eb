"""The short panel that ``make up`` prints when everything answers: where things are, and what to paste first."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

_RECORD = {
    "channel": "email",
    "recipient": "ada@example.com",
    "content": {"subject": "Hello {{name}}", "body": "Welcome, {{name}}."},
    "context": {"name": "Ada"},
}


def panel(demo_path: Path) -> str:
    """Return the panel for what ``demo_path`` (written by ``seed_demo``) describes.

    Raises ``OSError``, ``ValueError`` or ``KeyError`` if the file is not there or not complete.
    """
    demo: dict[str, Any] = json.loads(demo_path.read_text(encoding="utf-8"))
    base, sandbox = demo["base_url"], demo["sandbox_url"]
    rows = [
        ("Service", base),
        ("Demo page", f"{demo['demo_url']}   (two people, two bells, a chat)"),
        ("API docs", f"{base}/api/docs/"),
        ("Admin", f"{base}/admin/"),
        ("Sandbox", f"{sandbox}/   (what was sent, as its recipient sees it)"),
        *((f"Demo {who}", f"{demo[who]['email']}  {demo[who]['password']}") for who in ("admin", "member")),
    ]
    lines = [f"  {label:<12} {value}" for label, value in rows]
    send = [
        f"  curl -sS {base}/api/notifications/records/ \\",
        f'    -H "Authorization: Bearer {_token(demo_path)}" \\',
        f"    -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(_RECORD))}",
    ]
    look = [f"  curl -sS '{sandbox}/api/messages?to=ada@example.com&limit=1'"]
    first = "  Send a message, then see what arrived:"
    rest = "  Ctrl-C stops everything; data stays. `make` lists what else there is."
    return "\n".join(["", *lines, "", first, "", *send, *look, "", rest, ""])


def _token(demo_path: Path) -> str:
    """A command substitution that reads the token: shorter than the token, and nothing secret on the screen."""
    program = f"import json; print(json.load(open({str(demo_path)!r}))['token'])"
    return f"$({shlex.quote(sys.executable)} -c {json.dumps(program)})"
