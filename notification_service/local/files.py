"""Files that only their owner may read: generated passwords and keys."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Replace ``path`` atomically with ``text``, readable by its owner alone (mode 600)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def stored_secret(path: Path) -> str:
    """Return the secret that ``path`` holds; the first call makes one (32 characters, safe in URLs and in SQL)."""
    if path.exists() and (stored := path.read_text(encoding="utf-8").strip()):
        return stored
    secret = secrets.token_hex(16)
    write_private(path, secret + "\n")
    return secret
