"""Ends tasks: cancels them until they have ended, and waits no longer than it says."""

import asyncio
import logging
import time
from collections.abc import Iterable
from typing import Any

AGAIN_S = 1.0
"""How long a task that was cancelled has to clear up before it is cancelled again."""
TIMEOUT_S = 5.0

log = logging.getLogger("tickbus.ending")


async def end(tasks: Iterable[asyncio.Task[Any]], timeout_s: float = TIMEOUT_S) -> bool:
    """Cancel `tasks` and wait for them; False, and a line in the log, if one goes on regardless.

    Once is not enough: Python 3.11's `asyncio.wait_for` swallows what cancels it at the moment at
    which its answer comes, and its task then goes on as if nobody had ever wanted it to end.
    """
    meant = set(tasks)
    left = {task for task in meant if not task.done()}
    until_s = time.monotonic() + timeout_s
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_S)
        if left and time.monotonic() > until_s:
            log.error("do not end within %g s: %s", timeout_s, "; ".join(map(_where, left)))
            break
    for task in meant - left:
        if not task.cancelled():
            task.exception()  # seen: nobody waits for what it brought
    return not left


def _where(task: asyncio.Task[Any]) -> str:
    """The task's name, and the line at which it waits."""
    frames = task.get_stack(limit=1)
    at = f" at {frames[0].f_code.co_filename}:{frames[0].f_lineno}" if frames else ""
    return f"{task.get_name()}{at}"
