"""A server that does not answer in time is asked again, by whatever a service starts with."""

from collections.abc import Awaitable, Callable
from typing import Any

import nats.errors
import pytest
from nats.js import JetStreamContext

from tickbus.bus import BusError, Message, NatsBus, again
from tickbus.bus.again import asked_again
from tickbus_testkit.brokers import nats_server


async def test_what_is_answered_late_is_asked_for_again_and_that_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("WARNING", "tickbus.bus")
    answers: list[Exception | int] = [nats.errors.TimeoutError(), TimeoutError(), 7]

    async def ask() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await asked_again(ask, "the end of the stream") == 7
    assert answers == []
    assert len([line for line in caplog.messages if "the end of the stream" in line]) == 1


async def test_a_server_that_never_answers_is_given_up_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(again, "AGAIN_S", 0.2)
    asked: list[None] = []

    async def ask() -> int:
        asked.append(None)
        raise nats.errors.TimeoutError

    with pytest.raises(BusError, match=r"^no answer on the end of the stream in 0\.2 s"):
        await asked_again(ask, "the end of the stream")
    assert asked


def answer_late(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The first request of each kind to JetStream is answered too late; the kinds that were."""
    late: set[str] = set()
    request: Callable[..., Awaitable[Any]] = JetStreamContext._api_request

    async def first_too_late(self: JetStreamContext, subject: str, *given: Any, **more: Any) -> Any:
        kind = ".".join(subject.split(".")[2:5])
        if kind not in late:
            late.add(kind)
            raise nats.errors.TimeoutError
        return await request(self, subject, *given, **more)

    monkeypatch.setattr(JetStreamContext, "_api_request", first_too_late)
    return late


async def test_service_begins_at_a_server_that_answers_late(
    patient_bus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hear(_: Message) -> None: ...

    async def hear_key(_: str, __: bytes) -> None: ...

    async with nats_server() as server:
        bus = await NatsBus.connect(server.url, "risk")
        late = answer_late(monkeypatch)
        try:
            watch = await bus.kv_watch("control", hear_key)
            reader = await bus.consume(
                "risk", ["orders.intent.*"], hear, recall=["orders.denied.*"]
            )
            await bus.publish_durable("orders.intent.s", b"1", "one")
            assert await bus.last_sequence() == 1
            assert late >= {"STREAM.INFO.KV_control", "CONSUMER.LIST.ORDERS", "STREAM.INFO.ORDERS"}
            await reader.stop()
            await watch.stop()
        finally:
            await bus.close()
