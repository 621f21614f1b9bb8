"""One suite for every bus: what holds in memory holds on real NATS."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tickbus.bus import Bus, BusError, Kept, MemoryBus, Message, NatsBus, RequestTimeout, Stored
from tickbus.bus import nats as on_nats
from tickbus.bus.base import matches
from tickbus_testkit.brokers import nats_server
from tickbus_testkit.patience import PATIENCE_S, acknowledged

pytestmark = pytest.mark.usefixtures("patient_bus")
_numbers = itertools.count()


@asynccontextmanager
async def _memory() -> AsyncIterator[Bus]:
    bus = MemoryBus()
    yield bus
    await bus.close()


@pytest.fixture(params=["memory", "nats"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    if request.param == "memory":
        async with _memory() as memory:
            yield memory
        return
    async with nats_server() as server:
        nats = await NatsBus.connect(server.url, "test")
        yield nats
        await nats.close()


class Inbox:
    """Collects messages and waits for a number of them."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._changed = asyncio.Event()

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)
        self._changed.set()

    async def payloads(self, count: int) -> list[bytes]:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.messages) < count:
                self._changed.clear()
                await self._changed.wait()
        return [message.payload for message in self.messages]


async def _quiet() -> None:
    await asyncio.sleep(0.15)


async def _kept(bus: Bus, subject: str, since_ns: int, after: int, limit: int, most: int) -> Kept:
    """What is kept once `most` messages are; nobody confirms that a decision was stored."""
    async with asyncio.timeout(PATIENCE_S):
        while len((await bus.look_back(subject, since_ns, 0, 100)).messages) < most:
            await asyncio.sleep(0.01)
    return await bus.look_back(subject, since_ns, after, limit)


async def test_decisions_are_kept_for_who_looks_back_page_by_page(bus: Bus) -> None:
    for number in range(5):
        await bus.publish("strategy.decision.alpha", b"%d" % number)
        await bus.publish("strategy.decision.beta", b"other")
    await bus.publish("strategy.state.alpha", b"is not kept")
    first = await _kept(bus, "strategy.decision.alpha", 0, 0, 3, most=5)
    assert [message.payload for message in first.messages] == [b"0", b"1", b"2"]
    assert first.more
    after = first.messages[-1].sequence
    rest = await bus.look_back("strategy.decision.alpha", 0, after, 3)
    assert [message.payload for message in rest.messages] == [b"3", b"4"]
    assert not rest.more
    end = await bus.look_back("strategy.decision.alpha", 0, rest.messages[-1].sequence, 3)
    assert end == Kept([], more=False)


async def test_decisions_from_a_time_on_and_of_nobody(bus: Bus) -> None:
    await bus.publish("strategy.decision.alpha", b"now")
    assert (await _kept(bus, "strategy.decision.alpha", 0, 0, 9, most=1)).messages
    later_ns = time.time_ns() + 3_600_000_000_000
    assert await bus.look_back("strategy.decision.alpha", later_ns, 0, 9) == Kept([], more=False)
    assert await bus.look_back("strategy.decision.gamma", 0, 0, 9) == Kept([], more=False)


async def test_subscriber_gets_what_matches_in_order(bus: Bus) -> None:
    inbox = Inbox()
    await bus.subscribe("md.trade.*.BTC-USDT", inbox)
    await bus.publish("md.quote.sim.BTC-USDT", b"other kind")
    for n in range(20):
        await bus.publish("md.trade.sim.BTC-USDT", b"%d" % n)
    assert await inbox.payloads(20) == [b"%d" % n for n in range(20)]
    assert {m.subject for m in inbox.messages} == {"md.trade.sim.BTC-USDT"}


async def test_stopped_subscription_gets_nothing_more(bus: Bus) -> None:
    inbox = Inbox()
    subscription = await bus.subscribe("md.>", inbox)
    await bus.publish("md.a", b"1")
    await inbox.payloads(1)
    await subscription.stop()
    await bus.publish("md.a", b"2")
    await _quiet()
    assert len(inbox.messages) == 1


async def test_same_message_id_is_stored_once(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    # Asked for again in here, the first would be the duplicate of itself.
    monkeypatch.setattr(on_nats, "REQUEST_TIMEOUT_S", PATIENCE_S)
    first = await bus.publish_durable("orders.intent.a", b"x", "id-1")
    second = await bus.publish_durable("orders.intent.a", b"x", "id-1")
    assert (first, second) == (Stored(1), Stored(1, duplicate=True))
    assert await bus.last_sequence() == 1
    assert await bus.read(1) == Message("orders.intent.a", b"x", 1)


async def test_reading_where_nothing_is_stored_says_so(bus: Bus) -> None:
    with pytest.raises(BusError, match="7"):
        await bus.read(7)


async def test_consumer_gets_what_was_stored_before_it_came(bus: Bus) -> None:
    await bus.publish_durable("orders.intent.a", b"1", "1")
    await bus.publish_durable("orders.event.sim.a", b"not wanted", "2")
    inbox = Inbox()
    await bus.consume("risk", ["orders.intent.*"], inbox)
    await bus.publish_durable("orders.intent.b", b"3", "3")
    assert await inbox.payloads(2) == [b"1", b"3"]
    assert [m.sequence for m in inbox.messages] == [1, 3]


async def test_restarted_consumer_folds_acknowledged_then_continues(bus: Bus) -> None:
    first = Inbox()
    running = await bus.consume("risk", ["orders.>"], first)
    for n in range(3):
        await bus.publish_durable("orders.intent.a", b"%d" % n, f"{n}")
    await first.payloads(3)
    await acknowledged(bus, "risk", 3)
    await running.stop()
    await bus.publish_durable("orders.intent.a", b"3", "3")

    history, order = Inbox(), list[str]()
    second = Inbox()

    async def live() -> None:
        order.append(f"live after {len(history.messages)}")

    await bus.consume("risk", ["orders.>"], second, history=history, live=live)
    assert await second.payloads(1) == [b"3"]
    assert await history.payloads(3) == [b"0", b"1", b"2"]
    assert order == ["live after 3"]


async def test_own_words_are_recalled_at_the_start_and_do_not_come_back(bus: Bus) -> None:
    async def stuck(message: Message) -> None:
        if message.payload == b"2":
            await asyncio.Event().wait()

    running = await bus.consume("risk", ["orders.intent.*"], stuck, recall=["orders.denied.*"])
    for n, subject in enumerate(("intent", "denied", "intent", "denied", "intent")):
        await bus.publish_durable(f"orders.{subject}.a", b"%d" % n, f"{n}")
    await acknowledged(bus, "risk", 1)
    await running.stop()
    history, inbox = Inbox(), Inbox()
    await bus.consume(
        "risk", ["orders.intent.*"], inbox, history=history, recall=["orders.denied.*"]
    )
    await bus.publish_durable("orders.denied.a", b"5", "5")
    await bus.publish_durable("orders.intent.a", b"6", "6")
    assert await inbox.payloads(3) == [b"2", b"4", b"6"]
    # Both denials, although an intent between them was never acknowledged.
    assert await history.payloads(3) == [b"0", b"1", b"3"]


async def test_unacknowledged_message_is_delivered_again_to_the_next_process(bus: Bus) -> None:
    stuck = asyncio.Event()

    async def never_finishes(_: Message) -> None:
        stuck.set()
        await asyncio.Event().wait()

    running = await bus.consume("execution", ["orders.>"], never_finishes)
    await bus.publish_durable("orders.approved.sim", b"order", "1")
    await asyncio.wait_for(stuck.wait(), 30)
    await running.stop()
    history, inbox = Inbox(), Inbox()
    await bus.consume("execution", ["orders.>"], inbox, history=history)
    assert await inbox.payloads(1) == [b"order"]
    assert history.messages == []


async def test_newer_process_takes_over_a_durable(bus: Bus) -> None:
    old, new = Inbox(), Inbox()
    await bus.consume("risk", ["orders.>"], old)
    await bus.publish_durable("orders.intent.a", b"1", "1")
    await old.payloads(1)
    await acknowledged(bus, "risk", 1)
    await bus.consume("risk", ["orders.>"], new)
    await bus.publish_durable("orders.intent.a", b"2", "2")
    assert await new.payloads(1) == [b"2"]
    await _quiet()
    assert len(old.messages) == 1


async def test_follower_reads_from_a_position(bus: Bus) -> None:
    for n in range(1, 6):
        await bus.publish_durable("orders.intent.a", b"%d" % n, f"{n}")
    inbox = Inbox()
    await bus.follow(["orders.>"], 3, inbox)
    await bus.publish_durable("orders.intent.a", b"6", "6")
    assert await inbox.payloads(4) == [b"3", b"4", b"5", b"6"]


async def test_request_is_answered(bus: Bus) -> None:
    async def double(payload: bytes) -> bytes:
        return payload * 2

    await bus.respond("control.double", double)
    assert await bus.request("control.double", b"ab", 30.0) == b"abab"


async def test_request_nobody_answers_says_so(bus: Bus) -> None:
    with pytest.raises(RequestTimeout, match=r"control\.nobody"):
        await bus.request("control.nobody", b"", 0.2)


async def test_gather_collects_every_answer(bus: Bus) -> None:
    def answer(text: bytes) -> Callable[[bytes], Awaitable[bytes]]:
        async def responder(_: bytes) -> bytes:
            return text

        return responder

    await bus.respond("control.status", answer(b"risk"))
    await bus.respond("control.status", answer(b"book"))
    async with asyncio.timeout(PATIENCE_S):  # asked again where one of them took its time
        while len(found := await bus.gather("control.status", b"", 0.3)) < 2:
            pass
    assert sorted(found) == [b"book", b"risk"]
    assert await bus.gather("control.nobody", b"", 0.1) == []


async def test_value_is_swapped_only_by_who_saw_the_last_one(bus: Bus) -> None:
    assert await bus.kv_read("budget", "venue.牛") == (b"", 0)
    assert await bus.kv_swap("budget", "venue.牛", b"first", 0)
    value, revision = await bus.kv_read("budget", "venue.牛")
    assert value == b"first"
    assert not await bus.kv_swap("budget", "venue.牛", b"blind", 0)
    results = await asyncio.gather(
        *(bus.kv_swap("budget", "venue.牛", b"%d" % n, revision) for n in range(5))
    )
    assert sorted(results) == [False, False, False, False, True]
    value, _ = await bus.kv_read("budget", "venue.牛")
    assert value == b"%d" % results.index(True)


async def test_watch_gives_current_values_then_changes(bus: Bus) -> None:
    await bus.kv_put("instruments", "sim.BTC-USDT", b"old")
    await bus.kv_put("instruments", "sim.BTC-USDT", b"current")
    await bus.kv_put("instruments", "binance.牛来-USDT", b"chinese")
    seen: list[tuple[str, bytes]] = []
    changed = asyncio.Event()

    async def watch(key: str, value: bytes) -> None:
        seen.append((key, value))
        changed.set()

    await bus.kv_watch("instruments", watch)
    assert sorted(seen) == [("binance.牛来-USDT", b"chinese"), ("sim.BTC-USDT", b"current")]
    changed.clear()
    await bus.kv_put("instruments", "sim.ETH-USDT", b"new")
    await asyncio.wait_for(changed.wait(), 30)
    assert seen[-1] == ("sim.ETH-USDT", b"new")


async def test_watch_of_an_empty_bucket_returns(bus: Bus) -> None:
    async def watch(_: str, __: bytes) -> None:
        raise AssertionError("the bucket is empty")

    async with asyncio.timeout(PATIENCE_S):
        await bus.kv_watch("control", watch)


async def test_nats_restart_loses_nothing_durable() -> None:
    async with nats_server() as server:
        bus = await NatsBus.connect(server.url, "test")
        inbox = Inbox()
        await bus.consume("risk", ["orders.>"], inbox)
        for n in range(50):
            await bus.publish_durable("orders.intent.a", b"%d" % n, f"{n}")
        await server.stop()
        await server.start()
        for n in range(50, 100):
            await bus.publish_durable("orders.intent.a", b"%d" % n, f"{n}")
        async with asyncio.timeout(PATIENCE_S):
            payloads = await inbox.payloads(100)
        assert payloads == [b"%d" % n for n in range(100)]
        await bus.close()


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("md.trade.*.BTC", "md.trade.sim.BTC", True),
        ("md.trade.*.BTC", "md.trade.sim.ETH", False),
        ("md.*", "md.trade.sim", False),
        ("md.>", "md", False),
        ("md.>", "md.trade.sim", True),
        ("md", "md", True),
    ],
)
def test_subject_patterns(pattern: str, subject: str, expected: bool) -> None:
    assert matches(pattern, subject) is expected
