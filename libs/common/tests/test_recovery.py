"""Restarts read a snapshot and the rest; messages that no restart can handle are moved aside."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tickbus import codec
from tickbus.bus import Bus, MemoryBus, Message, NatsBus
from tickbus.config import PlatformConfig
from tickbus.events import (
    Event,
    MessageDead,
    OrderApproved,
    OrderDenied,
    OrderType,
    Side,
    SubmitOrder,
)
from tickbus.events.orders import DenialReason, message_id
from tickbus.runtime import ServiceSpec, Shell
from tickbus.runtime import snapshots as kept
from tickbus.runtime.deadletters import DeadLetter, LetterState, drop, letters, replay
from tickbus.runtime.snapshots import (
    BUCKET,
    Manifest,
    Snapshots,
    SnapshotTooLarge,
    memory_of,
    slices_of,
)
from tickbus.tracing import about
from tickbus_testkit.brokers import nats_server
from tickbus_testkit.patience import PATIENCE_S, acknowledged

pytestmark = pytest.mark.usefixtures("patient_bus")
PLATFORM = PlatformConfig(snapshot_every_s=3600, snapshot_every_events=100, deliveries_max=3)


class SumMemory(msgspec.Struct):
    """What `Summing` remembers."""

    seen: list[str]
    total: Decimal


class Summing:
    """Approves each order, adds up what it was told, and fails at whatever is in `poison`."""

    memory = SumMemory

    def __init__(self, poison: frozenset[int] = frozenset()) -> None:
        self.poison = poison
        self.seen: list[str] = []
        self.total = Decimal(0)
        self.folded = 0
        self.dead: list[MessageDead] = []
        self._said_again: set[str] = set()

    def handle(self, event: Any, /) -> Sequence[Event]:
        self.folded += isinstance(event, SubmitOrder)
        if isinstance(event, MessageDead):
            self.dead.append(event)
            return (
                OrderDenied(
                    event.ts_event, event.ts_recv, event.event, DenialReason.INTERNAL_ERROR, "x"
                ),
            )
        if isinstance(event, SubmitOrder):
            self.total += event.quantity
            if int(event.quantity) in self.poison:
                raise ZeroDivisionError(f"not {event.quantity}")
            self.seen.append(event.client_order_id)
            # An order whose acknowledgement got lost with a process comes again; what the stream
            # kept in the place of our second word is then told once more.
            self._said_again.add(event.client_order_id)
            return (OrderApproved(event.ts_event, event.ts_recv, event),)
        if isinstance(event, OrderApproved) and f"own {event.order.client_order_id}" in self.seen:
            if event.order.client_order_id not in self._said_again:
                raise AssertionError("told twice")
            self._said_again.remove(event.order.client_order_id)
            return ()
        if isinstance(event, OrderApproved):
            self.seen.append(f"own {event.order.client_order_id}")
        return ()

    def snapshot(self) -> SumMemory:
        return SumMemory(list(self.seen), self.total)

    def restore(self, memory: SumMemory, /) -> None:
        if memory.total < 0:
            raise ValueError("less than nothing")
        self.seen, self.total = memory.seen, memory.total


@asynccontextmanager
async def a_bus(kind: str) -> AsyncIterator[Bus]:
    if kind == "memory":
        yield MemoryBus()
        return
    async with nats_server() as server:
        nats = await NatsBus.connect(server.url, "test")
        yield nats
        await nats.close()


@pytest.fixture(params=["memory", "nats"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    async with a_bus(request.param) as made:
        yield made


def an_order(n: int) -> SubmitOrder:
    return SubmitOrder(
        1, 2, f"s-r-{n}", "s", "sim", "BTC-USDT", Side.BUY, OrderType.MARKET, Decimal(n)
    )


async def want(bus: Bus, *numbers: int) -> None:
    for n in numbers:
        order = an_order(n)
        await bus.publish_durable("orders.intent.s", codec.encode([order]), message_id(order))


def a_shell(
    bus: Bus, core: Summing, twin: Callable[[], Summing] = Summing, **platform: Any
) -> Shell:
    spec = ServiceSpec(
        name="risk", core=core, twin=twin, consume=("orders.intent.*",),
        recall=("orders.approved.*", "orders.denied.*"),
    )  # fmt: skip
    return Shell(spec, bus, platform=msgspec.structs.replace(PLATFORM, **platform))


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def finished(bus: Bus, shell: Shell) -> None:
    """Return once all that was stored before its start is handled, and the bus knows."""
    await shell.caught_up()
    if shell._snapshotter is not None:
        await acknowledged(bus, "risk", shell._snapshotter.position)


async def run(bus: Bus, core: Summing, total: int, *, snapshot: bool, **more: Any) -> Shell:
    """A service that lives until it has handled orders to the amount of `total`."""
    shell = a_shell(bus, core, **more)
    await shell.start()
    await until(lambda: core.total == total)
    await finished(bus, shell)
    if snapshot:
        assert shell._snapshotter is not None
        await shell._snapshotter.make()
    await shell.stop()
    assert shell.failure is None
    return shell


# -- snapshots -------------------------------------------------------------------------------------


async def test_restart_folds_only_what_is_behind_the_snapshot(bus: Bus) -> None:
    await want(bus, 1, 2, 3)
    await run(bus, Summing(), 6, snapshot=True)
    await want(bus, 4)
    await run(bus, Summing(), 10, snapshot=False)
    await want(bus, 5)
    await run_to_end(bus)
    core, whole = await run_to_end(bus), await run_to_end(bus, twin=None)
    assert (core.total, core.seen) == (Decimal(15), whole.seen)
    assert (core.folded, whole.folded) == (2, 5)


async def run_to_end(bus: Bus, **more: Any) -> Summing:
    core = Summing()
    shell = a_shell(bus, core, **more)
    await shell.start()
    await finished(bus, shell)
    await shell.stop()
    return core


async def test_what_was_handled_before_the_snapshot_does_not_come_again_unacknowledged() -> None:
    bus = MemoryBus()
    await want(bus, 1, 2)
    await run(bus, Summing(), 3, snapshot=True)
    bus._floors.clear()  # the consumer was lost with all it had acknowledged
    core = await run_to_end(bus)
    assert core.total == 3
    assert core.folded == 0


async def test_restart_behind_a_long_history_keeps_a_snapshot_before_anything_new_comes(
    bus: Bus,
) -> None:
    await want(bus, *range(1, 151))
    await run(bus, Summing(), sum(range(151)), snapshot=False, snapshot_every_events=10_000)
    shell = a_shell(bus, Summing(), snapshot_every_events=100)
    await shell.start()
    await until(lambda: shell.telemetry.counts.get(("Snapshot", "kept")))
    await shell.stop()
    core = await run_to_end(bus)
    assert core.total == sum(range(151))
    assert core.folded == 0


@pytest.mark.parametrize("harm", ["piece", "manifest", "code", "restore", "stream", "newer"])
async def test_unsound_snapshot_is_passed_over_for_the_whole_history(
    bus: Bus, harm: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await want(bus, 1, 2, 3)
    shell = await run(bus, Summing(), 6, snapshot=True)
    value, _ = await bus.kv_read(BUCKET, "risk")
    (manifest,) = msgspec.msgpack.decode(value, type=list[Manifest])
    match harm:
        case "piece":
            await bus.kv_put(BUCKET, "risk.0.0", b"something else")
        case "manifest":
            await bus.kv_put(BUCKET, "risk", b"\xff nonsense")
        case "code":
            monkeypatch.setattr(kept, "__version__", "another")
        case "newer":  # somebody went back to this version
            later = (99, *msgspec.structs.astuple(manifest)[1:], "a new field")
            await bus.kv_put(BUCKET, "risk", msgspec.msgpack.encode([later]))
        case "restore":
            snapshotter = shell._snapshotter
            assert snapshotter is not None
            monkeypatch.setattr(Summing, "snapshot", lambda _: SumMemory([], Decimal(-1)))
            monkeypatch.setattr(snapshotter, "_folded", manifest.sequence - 1)
            await snapshotter.make()
            monkeypatch.undo()
        case "stream":
            changed = msgspec.structs.replace(manifest, anchor="another")
            await bus.kv_put(BUCKET, "risk", msgspec.msgpack.encode([changed]))
    core = await run_to_end(bus)
    assert core.total == 6
    assert core.folded == 3
    assert "history" in caplog.text or "ignoring" in caplog.text


async def test_damaged_newest_snapshot_leaves_the_one_before_it(bus: Bus) -> None:
    for upto in (1, 2, 3):
        await want(bus, upto)
        await run(bus, Summing(), sum(range(upto + 1)), snapshot=True)
    value, _ = await bus.kv_read(BUCKET, "risk")
    newest, before = msgspec.msgpack.decode(value, type=list[Manifest])
    assert newest.sequence > before.sequence
    assert newest.slot != before.slot
    await bus.kv_put(BUCKET, f"risk.{newest.slot}.0", b"damaged")
    core = await run_to_end(bus)
    assert core.total == 6
    assert core.folded == 1, "the first two came from the older snapshot"


async def test_snapshot_of_many_pieces_is_whole_again_and_too_large_a_one_is_not_kept(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(1)
    seen = [random.randbytes(20).hex() for _ in range(20_000)]
    memory = SumMemory(seen, Decimal("1.50"))
    store = Snapshots(bus, "risk", "code", Shell(ServiceSpec(name="x", core=Summing()), bus).log)
    await want(bus, 1)
    anchor = await bus.read(1)
    size = await store.keep(anchor, list(slices_of(memory)), 1)
    assert size > 3 * kept.PIECE_BYTES
    found = await store.newest()
    assert found is not None
    assert (found.sequence, memory_of(found.slices, SumMemory)) == (1, memory)
    monkeypatch.setattr(kept, "SNAPSHOT_BYTES_MAX", 100)
    with pytest.raises(SnapshotTooLarge):
        await store.keep(anchor, list(slices_of(memory)), 2)
    assert await store.newest() is not None


async def test_snapshots_are_made_by_themselves_and_do_not_grow_in_number(bus: Bus) -> None:
    shell = a_shell(bus, Summing(), snapshot_every_events=100)
    await shell.start()
    for batch in range(3):
        await want(bus, *range(batch * 100 + 1, batch * 100 + 101))
        await until(lambda: shell.telemetry.counts.get(("Snapshot", "kept"), 0) > batch)  # noqa: B023
    keys: list[str] = []

    async def keep(key: str, _: bytes) -> None:
        keys.append(key)

    await (await bus.kv_watch(BUCKET, keep)).stop()
    # One more may be on its way just then.
    assert set(keys) == {"risk", "risk.0.0", "risk.1.0"}
    assert "snapshot_slice_seconds" in shell.telemetry.gauges
    await shell.stop()


async def test_twin_that_fails_costs_the_snapshots_and_nothing_else(bus: Bus) -> None:
    core = Summing()
    shell = a_shell(bus, core, partial(Summing, frozenset({7})), snapshot_every_events=100)
    await shell.start()
    await want(bus, *range(1, 120))
    await until(lambda: shell.telemetry.errors.get("snapshot_failed"))
    await want(bus, 500)
    await until(lambda: "s-r-500" in core.seen)
    assert shell.failure is None
    await shell.stop()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plan=st.lists(st.sampled_from(["order", "snapshot", "restart"]), max_size=25))
def test_any_course_of_restarts_and_snapshots_ends_in_the_fold_of_everything(
    plan: list[str],
) -> None:
    async def go() -> None:
        bus, n = MemoryBus(), 0
        shell = a_shell(bus, core := Summing())
        await shell.start()
        for step in plan:
            if step == "order":
                n += 1
                await want(bus, n)
                continue
            await bus.settle()
            if step == "snapshot":
                assert shell._snapshotter is not None
                await shell._snapshotter.make()
            else:
                await shell.stop()
                shell = a_shell(bus, core := Summing())
                await shell.start()
        await bus.settle()
        await shell.stop()
        assert core.total == sum(range(n + 1))
        orders = [name for name in core.seen if not name.startswith("own ")]
        assert orders == [f"s-r-{i}" for i in range(1, n + 1)]

    asyncio.run(go())


# -- dead letters ----------------------------------------------------------------------------------


async def fails(bus: Bus, poison: int, times: int = 1) -> None:
    """Processes that start, meet the message and end."""
    for _ in range(times):
        shell = a_shell(bus, Summing(frozenset({poison})), lambda: Summing(frozenset({poison})))
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(shell.run_until_stopped(), PATIENCE_S)


async def test_message_that_ends_every_process_is_moved_aside_and_answered(
    bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    await want(bus, 1, 2, 3)
    await fails(bus, 2, 3)
    (letter,) = await letters(bus)
    assert (letter.attempts, letter.state) == (3, LetterState.FAILING)
    core = Summing(frozenset({2}))
    shell = a_shell(bus, core, lambda: Summing(frozenset({2})))
    await shell.start()
    await until(lambda: "s-r-3" in core.seen)
    assert [dead.event for dead in core.dead] == [an_order(2)]
    (letter,) = await letters(bus)
    assert (letter.service, letter.subject, letter.state) == (
        "risk", "orders.intent.s", LetterState.DEAD,
    )  # fmt: skip
    assert letter.error == "ZeroDivisionError: not 2"
    assert letter.trace_hash
    assert shell.telemetry.errors["dead_letters"] == 1
    assert shell.telemetry.gauges["dead_letters"] == 1
    (said,) = [r for r in caplog.records if "dead letter" in r.message]
    assert said.__dict__["fields"].items() >= about("s-r-2")["fields"].items()
    await finished(bus, shell)
    await shell.stop()
    # It stays aside: whoever folds the history later does not even see it.
    again = Summing(frozenset({2}))
    third = a_shell(bus, again, lambda: Summing(frozenset({2})))
    await third.start()
    await third.caught_up()
    assert again.dead == []
    assert {"s-r-1", "s-r-3"} <= set(again.seen)
    await third.stop()
    assert third.failure is None


async def test_dead_letter_is_on_its_subject_once(bus: Bus) -> None:
    await want(bus, 2)
    await fails(bus, 2, 3)
    heard: list[Message] = []

    async def hear(message: Message) -> None:
        heard.append(message)

    await bus.subscribe("deadletter.*", hear)
    for _ in range(2):
        shell = a_shell(bus, Summing(frozenset({2})))
        await shell.start()
        await shell.caught_up()
        await shell.stop()
    (message,) = set(heard)  # heard twice where the answer that it is stored came late
    assert message.subject == "deadletter.risk"
    letter = codec.decode_value(message.payload, DeadLetter)
    assert codec.decode(letter.payload).events == [an_order(2)]


async def test_message_that_was_handled_once_may_fail_in_the_history_too(
    bus: Bus, caplog: pytest.LogCaptureFixture
) -> None:
    await want(bus, 1, 2, 3)
    await run(bus, Summing(), 6, snapshot=False)
    await fails(bus, 2, 3)  # a newer version of the code
    folds = [r.__dict__["fields"] for r in caplog.records if "folding history" in r.message]
    assert folds == [about("s-r-2")["fields"]] * 3
    core = Summing(frozenset({2}))
    shell = a_shell(bus, core)
    await shell.start()
    await shell.caught_up()
    assert core.dead == [], "whoever waited for its answer has had it"
    assert {"s-r-1", "s-r-3"} <= set(core.seen)
    assert [letter.state for letter in await letters(bus)] == [LetterState.DEAD]
    await shell.stop()


async def test_core_that_cannot_even_give_up_goes_on_behind_the_message(bus: Bus) -> None:
    class Hopeless(Summing):
        def handle(self, event: Any, /) -> Sequence[Event]:
            if isinstance(event, MessageDead):
                raise LookupError("no answer either")
            return super().handle(event)

    await want(bus, 2, 3)
    await fails(bus, 2, 3)
    shell = a_shell(bus, Hopeless(frozenset({2})))
    with pytest.raises(LookupError):
        await asyncio.wait_for(shell.run_until_stopped(), PATIENCE_S)
    core = Hopeless(frozenset({2}))
    last = a_shell(bus, core)
    await last.start()
    await until(lambda: "s-r-3" in core.seen)
    await last.stop()
    assert last.failure is None


async def test_replayed_letter_comes_again_as_a_new_message_and_is_marked(bus: Bus) -> None:
    await want(bus, 2)
    await fails(bus, 2, 3)
    mended = Summing()  # the bug is gone, but the message stays aside until somebody says so
    shell = a_shell(bus, mended)
    await shell.start()
    await until(lambda: shell.telemetry.gauges["dead_letters"] == 1)  # the last that is done then
    assert [dead.event for dead in mended.dead] == [an_order(2)]
    assert mended.seen == []
    (letter,) = await letters(bus)
    sequence = await replay(bus, letter)
    await until(lambda: "s-r-2" in mended.seen)
    assert sequence > letter.sequence
    (letter,) = await letters(bus)
    assert (letter.state, letter.replays) == (LetterState.REPLAYED, 1)
    await until(lambda: shell.telemetry.gauges["dead_letters"] == 0)
    await drop(bus, letter)
    (letter,) = await letters(bus)
    assert letter.state is LetterState.DROPPED
    await shell.stop()
    assert shell.failure is None


async def test_the_gauge_counts_a_letter_no_more_once_somebody_has_seen_to_it(bus: Bus) -> None:
    await want(bus, 1, 2, 3)
    poison = frozenset({1, 2})
    for _ in range(6):
        shell = a_shell(bus, Summing(poison), lambda: Summing(poison))
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(shell.run_until_stopped(), PATIENCE_S)
    shell = a_shell(bus, core := Summing(poison), lambda: Summing(poison))
    await shell.start()
    await until(lambda: "s-r-3" in core.seen)
    assert shell.telemetry.gauges["dead_letters"] == 2
    first, second = await letters(bus)
    await drop(bus, first)
    await until(lambda: shell.telemetry.gauges["dead_letters"] == 1)
    await replay(bus, second)  # it fails again, and that is another message
    await until(lambda: shell.telemetry.gauges["dead_letters"] == 0)
    await shell.stop()


async def test_too_many_dead_letters_end_the_service_instead(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickbus.runtime.deadletters.DEAD_MAX", 0)
    await want(bus, 2)
    await fails(bus, 2, 5)
    (letter,) = await letters(bus)
    assert (letter.attempts, letter.state) == (5, LetterState.FAILING)
