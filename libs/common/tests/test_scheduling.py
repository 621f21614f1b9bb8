"""Scheduling classes: what is permitted is taken, what hogs the machine loses its place."""

import os
import subprocess
import sys

import pytest

from tickbus import scheduling
from tickbus.config import ConfigError

linux = pytest.mark.skipif(sys.platform != "linux", reason="scheduling classes are Linux's")


def in_another_process(code: str) -> str:
    """What `code` prints; the class of this process must stay as it is."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def require_realtime() -> None:
    code = "from tickbus import scheduling; print(scheduling.take('realtime'))"
    if in_another_process(code) != "True":
        pytest.skip("this user may not use the realtime class")


def test_unknown_class_is_named_with_those_that_exist() -> None:
    with pytest.raises(ConfigError, match=r"TICKBUS_SCHEDULING='fast': .*normal, realtime, idle"):
        scheduling.checked("fast")


def test_normal_changes_nothing() -> None:
    before = os.nice(0)
    assert scheduling.take("normal")
    assert os.nice(0) == before


@linux
def test_idle_gives_way_to_all() -> None:
    code = "import os; from tickbus import scheduling; scheduling.take('idle');"
    assert in_another_process(code + "print(os.sched_getscheduler(0))") == str(os.SCHED_IDLE)


@linux
def test_refusal_is_no_failure() -> None:
    code = (
        "import os; from tickbus import scheduling\n"
        "def refuse(*_): raise PermissionError\n"
        "os.sched_setscheduler = refuse\n"
        "print(scheduling.take('realtime'), scheduling.take('idle'), os.nice(0))"
    )
    assert in_another_process(code) == "False False 19"


@linux
def test_process_that_never_pauses_loses_its_place_and_gets_it_back() -> None:
    require_realtime()
    code = (
        "import asyncio, os; from tickbus import scheduling\n"
        "scheduling.BUSY_S, scheduling.AWAY_S = 0.05, 0.1\n"
        "async def main():\n"
        "    scheduling.serve_in('realtime')\n"
        "    assert os.sched_getscheduler(0) == os.SCHED_RR\n"
        "    while os.sched_getscheduler(0) == os.SCHED_RR: pass\n"
        "    while os.sched_getscheduler(0) != os.SCHED_RR: await asyncio.sleep(0.01)\n"
        "    print('back')\n"
        "asyncio.run(main())"
    )
    assert in_another_process(code) == "back"


@linux
def test_no_realtime_where_its_bound_cannot_be_set() -> None:
    code = (
        "import asyncio, os, resource; from tickbus import scheduling\n"
        "resource.setrlimit(resource.RLIMIT_RTTIME, (1000, 1000))\n"
        "async def main(): scheduling.serve_in('realtime')\n"
        "asyncio.run(main())\n"
        "print(os.sched_getscheduler(0))"
    )
    assert in_another_process(code) == str(os.sched_getscheduler(0)), "it stays what it was"
