"""The examples do what they say, against the gateway itself."""

import asyncio
import itertools
import os
import sys
from pathlib import Path

import pytest
from api_platform import NOW, Platform, a_platform

from tickbus.clock import ManualClock
from tickbus.events import BookTop
from tickbus_api.service import HttpEdge

EXAMPLES = Path(__file__).parent.parent / "examples"
PATIENT = """
import runpy, sys
from tickbus_client import AsyncClient, Client
for kind in (AsyncClient, Client):
    kind.__init__.__kwdefaults__["timeout_s"] = 60.0
runpy.run_path(sys.argv[1], run_name="__main__")
"""
"""Runs an example, which has time for its answers on a machine that tests share."""
SAID = {
    "place_and_watch.py": ["is OPEN at 97", "and then CANCELED"],
    "hear_orders.py": ["orders, snapshot: none works", "prices, snapshot"],
}


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SAID)


@pytest.mark.parametrize("name", SAID)
async def test_an_example_works(name: str) -> None:
    async with a_platform() as platform:
        await platform.publish(BookTop(NOW, NOW, "sim", "BTC-USDT", 100.5, 1.0, 101.0, 2.0, 1, 1))
        (edge,) = platform.shell.spec.edges
        assert isinstance(edge, HttpEdge)
        environment = {**os.environ, "TICKBUS_API_URL": f"http://127.0.0.1:{edge.port}"}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            PATIENT,
            EXAMPLES / name,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
        )
        talking = asyncio.create_task(_talk(platform))
        try:
            async with asyncio.timeout(90):
                out, _ = await child.communicate()
        finally:
            talking.cancel()
            if child.returncode is None:
                child.kill()
    assert child.returncode == 0
    for words in SAID[name]:
        assert words in out.decode()


async def _talk(platform: Platform) -> None:
    """The market goes on, and so does time."""
    for sequence in itertools.count(2):
        bid = 100.5 + sequence % 2 * 0.01
        top = BookTop(NOW, NOW, "sim", "BTC-USDT", bid, 1.0, 103.0, 2.0, 1, sequence)
        await platform.publish(top)
        clock = platform.shell.clock
        assert isinstance(clock, ManualClock)
        clock.advance_to(clock.now_ns() + 200_000_000)
        await asyncio.sleep(0.02)
