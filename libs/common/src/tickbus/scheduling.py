"""Where a process stands in line for the processors of its machine.

`realtime` is what stands between a tick and its order: on a woken process of the usual class the
kernel may let others finish first, for longer than the order takes. It is the round-robin class at
its lowest priority, is used where the system permits it and is `normal` elsewhere. A process that
computes for `BUSY_S` without a pause gives its place up for `AWAY_S`, so that no strategy can stop
the machine. `idle` is for what can be late: it runs on time that nobody else wants.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from types import FrameType

from tickbus.config import ConfigError

VARIABLE = "TICKBUS_SCHEDULING"
CLASSES = ("normal", "realtime", "idle")
PRIORITY = 1
BUSY_S = 0.5
AWAY_S = 10.0
NICEST = 19

log = logging.getLogger("tickbus.scheduling")


def checked(name: str) -> str:
    """`name`, if it is one of `CLASSES`. Raises ConfigError."""
    if name not in CLASSES:
        raise ConfigError(f"{VARIABLE}={name!r}: must be one of {', '.join(CLASSES)}")
    return name


def take(name: str) -> bool:
    """Put this process, and what it starts, into the class; False where that is not permitted."""
    if name == "normal":
        return True
    if sys.platform == "linux":
        policy, priority = (os.SCHED_RR, PRIORITY) if name == "realtime" else (os.SCHED_IDLE, 0)
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, policy, os.sched_param(priority))
            return True
    if name == "idle":
        os.nice(NICEST)  # the next best
    return False


def serve_in(name: str) -> None:
    """`take`, in a running event loop, with the bound that `realtime` needs."""
    if name == "realtime" and not _bound(asyncio.get_running_loop()):
        name = "normal"
    if not take(name):
        log.info("scheduling %s is not permitted here (it takes CAP_SYS_NICE): runs as usual", name)


def _bound(loop: asyncio.AbstractEventLoop) -> bool:
    """See to it that computing without a pause ends in the usual class; False if that fails."""
    if sys.platform != "linux":
        return True  # there is no class to bound

    import resource  # not everywhere

    def give_way(_: int, __: FrameType | None) -> None:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        loop.call_soon_threadsafe(gave_way)  # a signal may have come in the midst of anything

    def gave_way() -> None:
        log.warning(
            "computed for %g s without a pause: gives way to others for %g s", BUSY_S, AWAY_S
        )
        loop.call_later(AWAY_S, take, "realtime")

    # The soft limit sends the signal; the hard one, which would kill, stays as it is.
    _, hard = resource.getrlimit(resource.RLIMIT_RTTIME)
    try:
        resource.setrlimit(resource.RLIMIT_RTTIME, (int(BUSY_S * 1e6), hard))
    except (ValueError, OSError) as error:
        log.info("no realtime scheduling without a limit to it: %s", error)
        return False
    signal.signal(signal.SIGXCPU, give_way)
    return True
