"""Ending tasks: also those that swallow what cancels them, and never for longer than said."""

import asyncio
import contextlib

import pytest

from tickbus.bus import MemoryBus
from tickbus.ending import end
from tickbus.events import Event
from tickbus.runtime import ServiceSpec, Shell
from tickbus.runtime.context import Context


async def deaf(times: int) -> None:
    """Goes on when it is cancelled, `times` times."""
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            times -= 1
            if times < 0:
                raise


async def begun(times: int) -> asyncio.Task[None]:
    task = asyncio.create_task(deaf(times), name=f"deaf-{times}")
    await asyncio.sleep(0)
    return task


async def test_what_swallows_being_cancelled_is_cancelled_again() -> None:
    tasks = [await begun(0), await begun(1), await begun(3)]
    async with asyncio.timeout(30):
        assert await end(tasks, 30)
    assert all(task.cancelled() for task in tasks)


async def test_what_goes_on_regardless_is_named_with_its_place(
    caplog: pytest.LogCaptureFixture,
) -> None:
    task = await begun(3)
    async with asyncio.timeout(30):
        assert not await end([task], 0.1)
    assert "deaf-3 at " in caplog.text
    assert "test_ending.py:" in caplog.text
    async with asyncio.timeout(30):
        assert await end([task], 30)


async def test_what_failed_or_ended_is_nobody_s_any_more() -> None:
    async def fails() -> None:
        raise ValueError("of no interest")

    said: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: said.append(about))
    tasks = [asyncio.create_task(fails()), asyncio.create_task(asyncio.sleep(0))]
    await asyncio.sleep(0)
    assert await end(tasks)
    del tasks
    assert said == []


async def test_answer_that_comes_as_its_task_is_cancelled_does_not_keep_a_service_alive() -> None:
    """Python 3.11's `wait_for` then gives the answer, and the task never hears of its end."""

    class Asking:
        """An edge that asks somebody, for ever, and is answered as the service ends."""

        def __init__(self) -> None:
            self.answer: asyncio.Future[int]

        async def start(self, context: Context) -> None:
            context.spawn(self._run(), "asking")

        async def _run(self) -> None:
            while True:
                self.answer = asyncio.get_running_loop().create_future()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.answer, 60)

        async def stop(self) -> None:
            self.answer.set_result(1)

    class Quiet:
        """A core that wants nothing."""

        def handle(self, _: Event) -> tuple[Event, ...]:
            return ()

    edge = Asking()
    shell = Shell(ServiceSpec(name="test", core=Quiet(), edges=(edge,)), MemoryBus())
    async with asyncio.timeout(30):
        await shell.start()
        await asyncio.sleep(0)
        await shell.stop()
