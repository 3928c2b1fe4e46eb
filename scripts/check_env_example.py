"""Compare ``.env.example`` with what the settings, entrypoint.sh and docker-compose.yml read.

Exits with 1 and one line a problem: a variable that is missing, one that nothing reads, one without a comment.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_VARIABLE = re.compile(r"(?:# )?([A-Z][A-Z0-9_]*)=.*")
_SUBSTITUTION = re.compile(r"\$\{([A-Z][A-Z0-9_]*)")
_NOT_OURS = {"DJANGO_SETTINGS_MODULE"}


def read_by_code(source: str) -> set[str]:
    """Return NAME of each ``env.xxx("NAME")`` and ``os.environ.get("NAME")`` in Python source."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(value=reader), args=[ast.Constant(value=str(name)), *_]):
                if ast.unparse(reader) in ("env", "os.environ"):
                    names.add(name)
    return names - _NOT_OURS


def substituted(text: str) -> set[str]:
    """Return NAME of each ``${NAME…}`` in a Compose file or shell script."""
    return set(_SUBSTITUTION.findall(text))


def documented(text: str) -> tuple[set[str], set[str]]:
    """Return the names in an example file, and those of them that no comment stands above."""
    names, bare, before = set(), set(), ""
    for line in text.splitlines():
        if found := _VARIABLE.fullmatch(line):
            names.add(found[1])
            if not before.startswith("#") or _VARIABLE.fullmatch(before) or before.startswith("# ---"):
                bare.add(found[1])
        before = line
    return names, bare


def problems(root: Path) -> list[str]:
    """Return what is wrong with ``root/.env.example``, one line each."""
    sources = [path.read_text(encoding="utf-8") for path in sorted((root / "notification_service").glob("*.py"))]
    read = set[str]().union(*map(read_by_code, sources))
    for name in ("docker-compose.yml", "entrypoint.sh"):
        read |= substituted((root / name).read_text(encoding="utf-8"))
    names, bare = documented((root / ".env.example").read_text(encoding="utf-8"))
    return [
        *(f"{name} is read but not in .env.example" for name in sorted(read - names)),
        *(f"{name} is in .env.example but nothing reads it" for name in sorted(names - read)),
        *(f"{name} has no comment in .env.example" for name in sorted(bare)),
    ]


if __name__ == "__main__":
    sys.exit("\n".join(problems(ROOT)) or None)
