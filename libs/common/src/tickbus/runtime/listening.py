"""What a service hears besides its declaration, changed while it runs without touching the rest."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from tickbus.bus import Bus, Handler, Message, Subscription

SUBJECTS_MAX = 2_000
"""With more, what is asked for is refused and what is heard stays."""
FINISH_S = 40.0
"""For what is being handled when its subject is dropped: longer than storing an order may take."""


class _Ear:
    """One subject. Once closed it passes nothing on, and it ends when it is not in the middle."""

    def __init__(self, handler: Handler) -> None:
        self.subscription: Subscription | None = None
        self.closed = False
        self._handler = handler
        self._rests = asyncio.Event()
        self._rests.set()

    async def hear(self, message: Message) -> None:
        if self.closed:
            return
        self._rests.clear()
        try:
            await self._handler(message)
        finally:
            self._rests.set()

    async def end(self) -> None:
        # To stop at once would cut off an order that is on its way to the stream.
        await asyncio.wait([asyncio.ensure_future(self._rests.wait())], timeout=FINISH_S)
        if self.subscription is not None:
            await self.subscription.stop()


class Listening:
    """The subjects that may change; each is handled one message at a time, in order."""

    def __init__(
        self, bus: Bus, handler: Handler,
        spawn: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
    ) -> None:  # fmt: skip
        self._bus = bus
        self._handler = handler
        self._spawn = spawn
        self._ears: dict[str, _Ear] = {}
        self._lock = asyncio.Lock()

    @property
    def heard(self) -> tuple[str, ...]:
        """What is heard now."""
        return tuple(self._ears)

    async def listen(self, subjects: Sequence[str]) -> None:
        """Hear exactly `subjects` from now on. Raises ValueError for too many, BusError."""
        wanted = dict.fromkeys(subjects)
        if len(wanted) > SUBJECTS_MAX:
            raise ValueError(
                f"{len(wanted)} subjects, more than {SUBJECTS_MAX}: give fewer markets"
            )
        async with self._lock:
            for subject in wanted:
                if subject not in self._ears:
                    ear = _Ear(self._handler)
                    ear.subscription = await self._bus.subscribe(subject, ear.hear)
                    self._ears[subject] = ear
            for subject in [known for known in self._ears if known not in wanted]:
                ear = self._ears.pop(subject)
                ear.closed = True
                self._spawn(ear.end(), f"hear no more of {subject}")

    async def stop(self) -> None:
        """Deliver nothing more."""
        for ear in self._ears.values():
            if ear.subscription is not None:
                await ear.subscription.stop()
        self._ears.clear()
