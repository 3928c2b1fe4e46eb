"""Database work of the sockets' event loop, in a few threads of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from django.db import connection

P = ParamSpec("P")
T = TypeVar("T")

_POOL: Final = ThreadPoolExecutor(max_workers=4, thread_name_prefix="live")


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run work that may wait for the database. It opens its own scope."""

    def run() -> T:
        try:
            return work(*args, **kwargs)
        finally:
            connection.close()  # back to the pool

    return await asyncio.get_running_loop().run_in_executor(_POOL, run)
