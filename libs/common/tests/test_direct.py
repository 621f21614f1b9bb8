"""The tap takes whole frames of its own subscriptions out of the stream, and nothing else."""

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickbus.bus import BusError, Message, NatsBus
from tickbus.bus.direct import Delivery, Tap
from tickbus.ending import end
from tickbus_testkit.brokers import nats_server
from tickbus_testkit.patience import PATIENCE_S

pytestmark = pytest.mark.usefixtures("patient_bus")
HEAD = b"NATS/1.0\r\nNats-Msg-Id: x\r\n\r\n"
OTHERS = (
    b"INFO {}\r\n",
    b"PING\r\n",
    b"PONG\r\n",
    b"+OK\r\n",
    b"-ERR 'MSG 1'\r\n",
    b"MSG other 9 5\r\nMSG a\r\n",
    b"MSG other 9 reply 0\r\n\r\n",
    b"HMSG other 9 %d %d\r\n%sMSG own 1 2\r\n" % (len(HEAD), len(HEAD) + 11, HEAD),
)


class Inner(asyncio.StreamReaderProtocol):
    """Keeps what is passed on."""

    def __init__(self) -> None:
        self.passed = b""

    def __del__(self) -> None:
        pass

    def data_received(self, data: bytes) -> None:
        self.passed += data


def tapped(stream: bytes, cuts: list[int]) -> tuple[list[Delivery], bytes]:
    inner, taken = Inner(), list[Delivery]()
    tap = Tap(inner, {b"1": taken.append})
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for piece in itertools.starmap(slice, itertools.pairwise(edges)):
        tap.data_received(stream[piece])
    return taken, inner.passed


payloads = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"\r\n", b"MSG own 1 0\r\n\r\n", b"PING\r\n", b"x" * 5000]),
)
own = st.tuples(payloads, st.booleans(), st.sampled_from(["", "$JS.ACK.x"]))


@given(
    st.lists(st.one_of(own, st.sampled_from(OTHERS))), st.lists(st.integers(0, 10**6), max_size=9)
)
def test_own_frames_are_taken_and_all_else_passes_however_it_is_cut(
    frames: list[tuple[bytes, bool, str] | bytes], cuts: list[int]
) -> None:
    stream, wanted, others = b"", list[Delivery](), b""
    for frame in frames:
        if isinstance(frame, bytes):
            stream += frame
            others += frame
            continue
        payload, with_header, reply = frame
        answer = f"{reply} ".encode() if reply else b""
        if with_header:
            size = len(HEAD) + len(payload)
            stream += b"HMSG a.b 1 %s%d %d\r\n%s%s\r\n" % (answer, len(HEAD), size, HEAD, payload)
        else:
            stream += b"MSG a.b 1 %s%d\r\n%s\r\n" % (answer, len(payload), payload)
        wanted.append(Delivery("a.b", reply, payload, HEAD if with_header else b""))
    taken, passed = tapped(stream, cuts)
    assert taken == wanted
    assert passed == others


@pytest.mark.parametrize("line", [b"MSG\r\n", b"MSG a 1 x\r\n", b"HMSG a 1 2\r\n", b"MSG \r\n"])
def test_what_cannot_be_read_is_left_to_the_client(line: bytes) -> None:
    taken, passed = tapped(line + b"MSG a 1 1\r\nx\r\n", [])
    assert passed == line
    assert [d.payload for d in taken] == [b"x"]


def test_a_line_without_end_is_not_kept_for_ever() -> None:
    endless = b"x" * (1024 * 1024 + 1)
    assert tapped(endless, []) == ([], endless)


async def test_order_is_kept_and_delivery_goes_on_after_the_connection_was_cut() -> None:
    async with nats_server() as server:
        bus = await NatsBus.connect(server.url, "test")
        got = list[bytes]()
        enough = asyncio.Event()

        async def keep(message: Message) -> None:
            got.append(message.payload)
            if {b"last", b"before", b"after"} <= set(got):
                enough.set()

        await bus.subscribe("md.>", keep)
        await bus.consume("risk", ["orders.>"], keep)
        for n in range(500):
            await bus.publish("md.x", b"%d" % n)
        await bus.publish_durable("orders.intent.a", b"before", "1")
        writer = bus._lane._transport._io_writer
        assert writer is not None
        writer.transport.abort()
        for n in range(50):  # while it is away: buffered, in order
            await bus.publish("md.x", b"again %d" % n)
        await bus.publish_durable("orders.intent.a", b"after", "2")
        await bus.publish("md.x", b"last")
        await asyncio.wait_for(enough.wait(), PATIENCE_S)
        numbers = [int(p) for p in got if p.isdigit()]
        assert numbers == sorted(numbers)
        again = [p for p in got if p.startswith(b"again")]
        assert again == [b"again %d" % n for n in range(50 - len(again), 50)]
        assert [p for p in got if p in (b"before", b"after")] == [b"before", b"after"]
        await bus.close()


@pytest.mark.parametrize(
    ("subject", "message_id"), [("orders.in tent", "1"), ("orders.intent\r\nPUB x", "1"), ("", "1")]
)
async def test_nothing_can_be_smuggled_into_the_protocol(subject: str, message_id: str) -> None:
    async with nats_server() as server:
        bus = await NatsBus.connect(server.url, "test")
        got = list[Message]()

        async def keep(message: Message) -> None:
            got.append(message)

        await bus.subscribe("x", keep)
        with pytest.raises(BusError):
            await bus.publish(subject, b"payload")
        await bus.publish_durable("orders.intent.a", b"odd id", "1\r\n\r\nPUB x 1\r\nx\r\n")
        await bus.publish("y", b"")
        assert got == []
        await bus.close()


async def test_a_handler_too_slow_loses_the_newest_and_is_told() -> None:
    async with nats_server() as server:
        bus = await NatsBus.connect(server.url, "test")
        slow, told = asyncio.Event(), list[str]()
        bus.on_slow = told.append

        async def wait(_: Message) -> None:
            await slow.wait()

        subscription = await bus.subscribe("md.>", wait)
        subscription._messages_max = 10
        for _ in range(30):
            await bus.publish("md.x", b"")
        async with asyncio.timeout(PATIENCE_S):
            while len(told) < 19:
                await asyncio.sleep(0.01)
        slow.set()
        assert set(told) == {"md.>"}
        await bus.close()


async def test_process_that_was_taken_over_does_not_come_back() -> None:
    async with nats_server() as server:
        old = await NatsBus.connect(server.url, "old")
        new = await NatsBus.connect(server.url, "new")
        told, got_old, got_new = list[str](), list[bytes](), list[bytes]()
        old.on_taken_over = told.append

        async def by_old(message: Message) -> None:
            got_old.append(message.payload)

        async def by_new(message: Message) -> None:
            got_new.append(message.payload)

        reader = await old.consume("risk", ["orders.>"], by_old)
        await reader._renew()  # its own renewal is nobody's takeover
        assert told == []
        await new.consume("risk", ["orders.>"], by_new)
        # As the watchdog does after some silence, and as a lost delivery has it do, both at once.
        await asyncio.gather(reader._renew(), reader._renew())
        assert told == ["risk"]
        await new.publish_durable("orders.intent.a", b"1", "1")
        async with asyncio.timeout(PATIENCE_S):
            while not got_new:
                await asyncio.sleep(0.01)
        assert (got_old, got_new) == ([], [b"1"])
        assert len(await new._js.consumers_info("ORDERS")) == 1
        await old.close()
        await new.close()


async def test_of_two_processes_that_start_at_once_one_reads_on() -> None:
    async with nats_server() as server:
        first = await NatsBus.connect(server.url, "first")
        second = await NatsBus.connect(server.url, "second")
        told, got_first, got_second = list[str](), list[bytes](), list[bytes]()
        first.on_taken_over = told.append
        waits, looked = asyncio.Event(), asyncio.Event()

        async def by_first(message: Message) -> None:
            got_first.append(message.payload)

        async def by_second(message: Message) -> None:
            got_second.append(message.payload)

        async def wait() -> None:
            waits.set()
            await looked.wait()  # both know by then that nobody reads the durable

        starting = asyncio.create_task(second.consume("risk", ["orders.>"], by_second, live=wait))
        await waits.wait()
        reader = await first.consume("risk", ["orders.>"], by_first)
        looked.set()
        await starting
        await second.publish_durable("orders.intent.a", b"1", "1")
        async with asyncio.timeout(PATIENCE_S):
            while not got_second:
                await asyncio.sleep(0.01)
        assert (got_first, got_second) == ([], [b"1"])
        await reader._renew()  # as the watchdog does after some silence
        assert told == ["risk"]
        await first.close()
        await second.close()


async def test_renewals_that_fail_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    async with nats_server() as server:
        bus = await NatsBus.connect(server.url, "test")

        async def keep(_: Message) -> None: ...

        reader = await bus.consume("risk", ["orders.>"], keep)
        assert reader._watchdog is not None
        assert await end([reader._watchdog])  # it would renew as well where we stand still
        takers = len(bus._lane._transport.takers)
        tasks = len(asyncio.all_tasks())
        make, failures = bus._js.add_consumer, iter(range(4))

        async def fail_first(*arguments: Any, **more: Any) -> Any:
            if next(failures, None) is not None:
                raise TimeoutError("not now")
            return await make(*arguments, **more)

        monkeypatch.setattr(bus._js, "add_consumer", fail_first)
        await reader._renew()
        assert len(bus._lane._transport.takers) == takers
        assert len(asyncio.all_tasks()) == tasks
        await reader.stop()
        await bus.close()
