"""``python -m notification_service.local COMMAND …``: run a command of manage.py as ``make up`` would.

For ``make shell`` and ``make manage ARGS=…``: same secrets, same servers, same ports.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from notification_service.local.environment import InvalidPort, local_setup

_ROOT = Path(__file__).resolve().parents[2]


def main(arguments: list[str]) -> None:
    """Replace this process by ``manage.py`` with ``arguments``, in the environment of the local installation."""
    try:
        environment = local_setup(_ROOT).environment()
    except InvalidPort as error:
        sys.exit(str(error))
    os.execve(sys.executable, [sys.executable, str(_ROOT / "manage.py"), *arguments], environment)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
