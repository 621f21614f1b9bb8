"""A strategy with its own credentials tries all it can on a real server; nothing gets through."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import nats
import nats.errors
import pytest
from nats.aio.client import Client

from tickbus import codec, subjects
from tickbus.bus import BusDenied, BusError, BusRefused, Message, NatsBus
from tickbus.bus import door as doors
from tickbus.bus import nats as on_nats
from tickbus.bus.consumers import Wish
from tickbus.events import Fill, LiquiditySide, OrderFilled, Side
from tickbus.events.orders import message_id
from tickbus.login import Login
from tickbus.permissions import SLOTS, StrategyUser
from tickbus.runtime.storing import store
from tickbus.runtime.telemetry import Telemetry
from tickbus_testkit.brokers import nats_server
from tickbus_testkit.patience import PATIENCE_S, acknowledged
from tickbus_testkit.users import NEIGHBOR, Users

pytestmark = pytest.mark.usefixtures("patient_bus")
ALPHA = StrategyUser("strategy-alpha", ("alpha",))
BETA = StrategyUser("strategy-beta", ("beta",))
FORGED = b"FORGED"
APPROVED = "orders.approved.sim"
HALTED = b"halted"
OWN = ("orders.intent.alpha", "quarantine.strategy", "$KV.snapshots.strategy_alpha.x")
"""Where it may write what it likes."""
TARGETS = (
    APPROVED,
    "orders.approved.binance",
    "orders.denied.alpha",
    "orders.event.sim.alpha",
    "orders.account.sim",
    "orders.intent.beta",
    "orders.intent.manual",
    "orders.intent",
    "md.quote.sim.BTC-USDT",
    "book.top.sim.BTC-USDT",
    "risk.state",
    "ledger.portfolio",
    "control.status",
    "control.ledger.portfolio",
    "control.reader.strategy-beta.only.beta",
    "control.reader.strategy-alpha.all",
    "$KV.control.trading",
    "$KV.limits.alpha",
    "$KV.instruments.sim.BTC-USDT",
    "$KV.strategies.alpha",
    "orders.strategy.beta",
    "$KV.snapshots.risk",
    "quarantine.risk",
    "deadletter.risk",
    "deliver.strategy-beta.x",
    "_INBOX.risk.x",
    "$JS.ACK.ORDERS.execution-1.1.1.1.1.1",
    "$JS.ACK.ORDERS.strategy_beta-0.1.1.1.1.1",
    "$JS.FC.ORDERS.execution-1.x",
    "$JS.API.STREAM.CREATE.EVIL",
    "$JS.API.STREAM.UPDATE.ORDERS",
    "$JS.API.STREAM.DELETE.ORDERS",
    "$JS.API.STREAM.PURGE.ORDERS",
    "$JS.API.STREAM.MSG.DELETE.ORDERS",
    "$JS.API.STREAM.MSG.GET.ORDERS",
    "$JS.API.DIRECT.GET.ORDERS",
    "$JS.API.CONSUMER.CREATE.ORDERS",
    "$JS.API.CONSUMER.CREATE.ORDERS.evil.orders.intent.alpha",
    "$JS.API.CONSUMER.DURABLE.CREATE.ORDERS.execution-1",
    "$JS.API.CONSUMER.DELETE.ORDERS.execution-1",
    "$JS.API.CONSUMER.MSG.NEXT.ORDERS.strategy_alpha-0",
    "$SYS.REQ.SERVER.PING",
)


class Scene(NamedTuple):
    """A server, and what reaches the platform: execution's input, and everything else."""

    url: str
    users: Users
    platform: NatsBus
    execution: list[Message]
    heard: list[Message]

    def forged(self) -> list[Message]:
        """What an attacker wrote and the platform heard, where he may not speak."""
        return [m for m in self.heard if FORGED in m.payload and m.subject not in OWN]

    async def streams(self) -> dict[str, Any]:
        """How many messages each stream holds, and what its settings are."""
        js = self.platform._js
        return {
            str(info.config.name): (info.state.messages, info.config)
            for info in await js.streams_info()
        }


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    users = Users((ALPHA, BETA))
    async with nats_server(users) as server:
        platform = await NatsBus.connect(server.url, "platform", users.login(NEIGHBOR))
        risk = await NatsBus.connect(server.url, "risk", users.login("risk"))
        execution = await NatsBus.connect(server.url, "execution", users.login("execution"))
        await risk.keep_door()
        await platform.kv_put("control", "trading", HALTED)
        await platform.kv_put("instruments", "sim.BTC-USDT", b"instrument")
        got: list[Message] = []
        heard: list[Message] = []
        await execution.consume("execution", [APPROVED], _into(got))
        for subject in (
            "orders.>",
            "md.>",
            "book.>",
            "risk.>",
            "ledger.>",
            "control.>",
            "$KV.>",
            "quarantine.>",
            "deadletter.>",
            "deliver.>",
            "_INBOX.risk.>",
            "$JS.ACK.>",
        ):
            await platform.subscribe(subject, _into(heard))
        yield Scene(server.url, users, platform, got, heard)
        for bus in (execution, risk, platform):
            await bus.close()


def _into(found: list[Message]) -> Callable[[Message], Awaitable[None]]:
    async def keep(message: Message) -> None:
        found.append(message)

    return keep


class Attacker(NamedTuple):
    """A bare client, so that nothing of our own stands in its way."""

    client: Client
    errors: list[str]

    async def settled(self) -> None:
        await self.client.flush(PATIENCE_S)
        await asyncio.sleep(0.2)


@asynccontextmanager
async def attacker(scene: Scene, login: Login | None = None) -> AsyncIterator[Attacker]:
    login = login or scene.users.login("strategy-alpha")
    errors: list[str] = []

    async def on_error(error: Exception) -> None:
        errors.append(str(error))

    client = await nats.connect(
        scene.url, user=login.user, password=login.password, error_cb=on_error,
        inbox_prefix=f"_INBOX.{login.user}", connect_timeout=PATIENCE_S,
    )  # fmt: skip
    yield Attacker(client, errors)
    await client.close()


async def nothing_happened(scene: Scene, before: dict[str, Any]) -> None:
    assert scene.execution == []
    assert scene.forged() == []
    after = await scene.streams()
    assert {n: c for n, (_, c) in after.items()} == {n: c for n, (_, c) in before.items()}
    for name, (messages, _) in before.items():
        assert after[name][0] >= messages, f"{name} lost messages"
    assert (await scene.platform.kv_read("control", "trading"))[0] == HALTED


async def test_publishing_where_it_may_not_is_refused_aloud(scene: Scene) -> None:
    before = await scene.streams()
    async with attacker(scene) as evil:
        for target in TARGETS:
            if target == subjects.STATUS:
                continue  # in its own account, where it is answered and nobody listens
            evil.errors.clear()
            await evil.client.publish(target, FORGED)
            await _until(lambda: target.lower() in str(evil.errors).lower(), target)  # noqa: B023
        await evil.settled()
    await nothing_happened(scene, before)
    assert await scene.streams() == before


async def test_taking_the_message_id_of_a_fill_keeps_it_from_nobody(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server drops what has an id that it has seen, whoever used it and wherever."""
    # Asked for again in here, what is stored would be its own duplicate.
    monkeypatch.setattr(on_nats, "REQUEST_TIMEOUT_S", PATIENCE_S)
    fill = Fill("7", Side.BUY, Decimal(1), Decimal(1), Decimal(0), "X", LiquiditySide.TAKER, 1)
    filled = OrderFilled(
        1, 1, "beta-r-1", "beta", "sim", "BTC-USDT", "v", fill, Decimal(1), Decimal(0)
    )
    subject, payload = subjects.of(filled), codec.encode([filled])
    execution = await NatsBus.connect(scene.url, "execution", scene.users.login("execution"))
    async with attacker(scene) as evil:
        taken = {"Nats-Msg-Id": message_id(filled)}
        await evil.client.publish("orders.intent.alpha", payload, headers=taken)
        await evil.settled()
    log, telemetry = logging.getLogger("test"), Telemetry("test")
    assert await store(execution, filled, subject, payload, telemetry, log) == ()
    await _until(lambda: subject in [message.subject for message in scene.heard])
    await execution.close()


async def test_answers_of_the_server_cannot_be_aimed_at_the_platform(scene: Scene) -> None:
    """The server writes its answers on any subject; those to a strategy stay in its account."""
    before = await scene.streams()
    bus = await NatsBus.connect(scene.url, "alpha", scene.users.login("strategy-alpha"))
    reader = await bus.consume("strategy_alpha", ["orders.event.*.alpha"], _into([]))
    await scene.platform.publish_durable("orders.event.sim.alpha", b"filled", "f1")
    await reader.caught_up()
    async with attacker(scene) as evil:
        for target in TARGETS:
            await evil.client.publish("orders.intent.alpha", FORGED, reply=target)
            await evil.client.publish("quarantine.strategy", FORGED, reply=target)
            await evil.client.publish("$KV.snapshots.strategy_alpha.x", FORGED, reply=target)
            await evil.client.publish(
                "$JS.ACK.ORDERS.strategy_alpha-0.1.2.1.1.0", b"+ACK", reply=target
            )
            await evil.client.publish(
                "$JS.ACK.ORDERS.strategy_alpha-0.1.2.1.1.0", b"+NXT 9", reply=target
            )
            for request in (doors.Last(), doors.Read(1), doors.Value("instruments", "x")):
                packed = msgspec.msgpack.encode(request)
                await evil.client.publish(subjects.READER, packed, reply=target)
        await evil.settled()
    await bus.close()
    heard = [
        m for m in scene.heard if m.subject in TARGETS and m.subject != "orders.event.sim.alpha"
    ]
    assert heard == []
    await nothing_happened(scene, before)


async def test_without_accounts_the_same_answers_would_break_in() -> None:
    """Why accounts: permissions alone let the server write for who may not."""
    limited = {
        "publish": {"allow": ["orders.intent.alpha"]},
        "subscribe": {"allow": ["_INBOX.x.>"]},
    }
    users = Users()
    users.accounts["platform"]["users"].append(
        {"user": "x", "password": "x-password", "permissions": limited}
    )
    async with nats_server(users) as server:
        platform = await NatsBus.connect(server.url, "platform", users.login(NEIGHBOR))
        await platform.kv_put("control", "trading", HALTED)
        client = await nats.connect(server.url, user="x", password="x-password")
        await client.publish("orders.intent.alpha", FORGED, reply="$KV.control.trading")
        async with asyncio.timeout(PATIENCE_S):  # the server writes there when it comes to it
            while (await platform.kv_read("control", "trading"))[0] == HALTED:
                await asyncio.sleep(0.02)
        await client.close()
        await platform.close()


async def test_a_consumer_cannot_be_aimed_at_the_platform(scene: Scene) -> None:
    before = await scene.streams()
    async with attacker(scene) as evil:
        await evil.client.publish("orders.intent.alpha", FORGED)
        for target in TARGETS:
            wish = Wish("ORDERS", ("orders.intent.alpha",), target, 1)
            answer = await _at_the_door(evil, doors.Make(wish))
            assert answer.error, target
            request = {"stream_name": "ORDERS", "config": {"deliver_subject": target}}
            await evil.client.publish(
                "$JS.API.CONSUMER.CREATE.ORDERS", json.dumps(request).encode()
            )
        await evil.settled()
        await _until(lambda: bool(evil.errors))
    await nothing_happened(scene, before)


async def test_others_readers_and_orders_are_out_of_reach(scene: Scene) -> None:
    await scene.platform.publish_durable("orders.event.sim.beta", b"secret", "b1")
    beta = await NatsBus.connect(scene.url, "beta", scene.users.login("strategy-beta"))
    got: list[Message] = []
    await beta.consume("strategy_beta", ["orders.event.*.beta"], _into(got))
    async with attacker(scene) as evil:
        for request in (
            doors.Read(1),
            doors.Known("strategy_beta"),
            doors.Known("execution"),
            doors.End("strategy_beta-0"),
            doors.End("execution-1"),
            doors.Value("control", "trading"),
            doors.Value("snapshots", "risk"),
            doors.Value("snapshots", ">"),
        ):
            assert (await _at_the_door(evil, request)).error, request
    await scene.platform.publish_durable("orders.event.sim.beta", b"still there", "b2")
    await _until(lambda: [m.payload for m in got] == [b"secret", b"still there"])
    await beta.close()


async def _at_the_door(evil: Attacker, request: Any) -> doors.Answer:
    packed = msgspec.msgpack.encode(request)
    message = await evil.client.request(subjects.READER, packed, timeout=PATIENCE_S)
    return msgspec.msgpack.decode(message.data, type=doors.Answer)


async def _until(holds: Callable[[], bool], what: str = "") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    "pattern",
    [">", "*.>", "orders.>", "orders.event.*.alpha", "_INBOX.>", "_INBOX.risk.>", "_R_.>", "$KV.>",
     "$JS.>", "$SYS.>", "control.>", "control.strategy.*", "control.strategy.beta", "deliver.>",
     "deliver.strategy-beta.>"],
)  # fmt: skip
async def test_listening_to_others_is_refused(scene: Scene, pattern: str) -> None:
    async with attacker(scene) as evil:
        await evil.client.subscribe(pattern)
        await _until(lambda: "subscription" in str(evil.errors))


async def test_questions_about_a_strategy_reach_only_who_may_speak_for_it() -> None:
    users = Users((ALPHA, BETA, StrategyUser()))
    alpha, shared = subjects.strategy_questions("alpha"), subjects.strategy_questions("x")
    async with nats_server(users) as server:
        heard: dict[str, list[str]] = {}
        buses = [
            await NatsBus.connect(server.url, name, users.login(name))
            for name in ("api", "strategy-alpha", "strategy-beta", "strategy")
        ]
        asker, *strategies = buses

        def responder(name: str) -> Callable[[bytes], Awaitable[bytes]]:
            async def answer(payload: bytes) -> bytes:
                heard.setdefault(payload.decode(), []).append(name)
                return name.encode()

            return answer

        own = {"strategy-alpha": "alpha", "strategy-beta": "beta", "strategy": "*"}
        for bus, (name, strategy_id) in zip(strategies, own.items(), strict=True):
            await bus.respond(subjects.STRATEGIES, responder(name))
            await bus.respond(subjects.strategy_questions(strategy_id), responder(name))
            await bus._client.flush(PATIENCE_S)
        assert await _answers(asker, alpha, b"alpha", 2) == [b"strategy", b"strategy-alpha"]
        assert await asker.request(shared, b"x", 30) == b"strategy"
        assert await _answers(asker, subjects.STRATEGIES, b"all", 3) == [
            b"strategy", b"strategy-alpha", b"strategy-beta",
        ]  # fmt: skip
        for bus in buses:
            await bus.close()
    assert set(heard["alpha"]) == {"strategy", "strategy-alpha"}
    assert heard["x"] == ["strategy"]


async def _answers(asker: NatsBus, subject: str, payload: bytes, count: int) -> list[bytes]:
    """All that come; asked again where fewer than `count` came in time."""
    async with asyncio.timeout(PATIENCE_S):
        while len(found := await asker.gather(subject, payload, 0.5)) < count:
            pass
    return sorted(found)


async def test_nobody_connects_without_or_with_wrong_credentials(scene: Scene) -> None:
    for login in (None, Login("risk", "guessed"), Login("nobody", "x")):
        with pytest.raises(BusRefused, match="TICKBUS_NATS_PASSWORD"):
            await NatsBus.connect(scene.url, "intruder", login)


async def test_a_publish_that_is_not_allowed_fails_at_once_and_says_who_and_where(
    scene: Scene,
) -> None:
    feed = await NatsBus.connect(scene.url, "feed", scene.users.login("feed"))
    denied: list[str] = []
    feed.on_denied = denied.append
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(BusDenied, match=r"'feed' may not publish on 'orders\.approved\.sim'"):
            await feed.publish_durable(APPROVED, FORGED, "m1")
    assert set(denied) == {APPROVED}  # twice, where it was asked for again meanwhile
    await feed.close()


# -- and what a strategy is meant to do works ------------------------------------------------------


async def test_a_strategy_reads_what_is_its_own_and_goes_on_where_it_was(scene: Scene) -> None:
    url, login = scene.url, scene.users.login("strategy-alpha")
    for number in range(3):
        own = await scene.platform.publish_durable(
            "orders.event.sim.alpha", b"%d" % number, f"a{number}"
        )
        await scene.platform.publish_durable("orders.event.sim.beta", b"not ours", f"b{number}")
    for turn in range(SLOTS + 2):  # more lives than there are slots
        bus = await NatsBus.connect(url, "alpha", login)
        history: list[Message] = []
        live: list[Message] = []
        reader = await bus.consume(
            "strategy_alpha", ["orders.event.*.alpha"], _into(live), history=_into(history),
            recall=["orders.intent.alpha"],
        )  # fmt: skip
        stored = await bus.publish_durable("orders.intent.alpha", b"wish", f"w{turn}")
        again = await bus.publish_durable("orders.intent.alpha", b"wish", f"w{turn}")
        assert again == (stored.sequence, True)
        assert (await bus.read(stored.sequence)).payload == b"wish"
        assert await bus.last_sequence() == stored.sequence
        events = [b"0", b"1", b"2"]
        await _until(lambda: len(live) == (3 if turn == 0 else 0))  # noqa: B023
        if turn:
            assert [m.payload for m in history] == [*events, *[b"wish"] * turn]
        await acknowledged(scene.platform, "strategy_alpha", own.sequence)
        await reader.stop()
        await bus.close()


async def test_a_strategy_reads_through_a_window_that_it_acknowledges(scene: Scene) -> None:
    for number in range(4):
        await scene.platform.publish_durable("orders.event.sim.alpha", b"%d" % number, str(number))
    async with attacker(scene) as alpha:
        for _ in range(SLOTS + 1):
            door = doors.Door(alpha.client, "strategy-alpha")
            inbox = door.inbox()
            got: list[bytes] = []
            subscription = await alpha.client.subscribe(inbox)
            subject = ("orders.event.*.alpha",)
            made = await door.make(Wish("ORDERS", subject, inbox, 1, maker="m", window=2))
            assert made.name.startswith("strategy-alpha_history-")
            while len(got) < 4:
                message = await subscription.next_msg(timeout=PATIENCE_S)
                if message.reply:
                    got.append(message.data)
                    await alpha.client.publish(message.reply, b"+ACK")
            assert got == [b"0", b"1", b"2", b"3"]
        assert not [error for error in alpha.errors if "permissions" in error.lower()]


async def test_a_second_process_takes_a_strategy_over(scene: Scene) -> None:
    login = scene.users.login("strategy-alpha")
    first = await NatsBus.connect(scene.url, "alpha", login)
    second = await NatsBus.connect(scene.url, "alpha", login)
    ours: list[Message] = []
    theirs: list[Message] = []
    taken: list[str] = []
    first.on_taken_over = taken.append
    await first.consume("strategy_alpha", ["orders.event.*.alpha"], _into(ours))
    await second.consume("strategy_alpha", ["orders.event.*.alpha"], _into(theirs))
    await scene.platform.publish_durable("orders.event.sim.alpha", b"1", "1")
    await _until(lambda: len(theirs) == 1)
    assert ours == []
    await _until(lambda: taken == ["strategy_alpha"])
    await first.close()
    await second.close()


async def test_a_strategy_watches_instruments_and_keeps_its_snapshot(scene: Scene) -> None:
    bus = await NatsBus.connect(scene.url, "alpha", scene.users.login("strategy-alpha"))
    found: dict[str, bytes] = {}

    async def keep(key: str, value: bytes) -> None:
        found[key] = value

    await bus.kv_watch("instruments", keep)
    assert found == {"sim.BTC-USDT": b"instrument"}
    for name in ("alpha", "beta"):
        await scene.platform.kv_put("strategies", name, f"what {name} is to do".encode())
    found.clear()
    await bus.kv_watch("strategies", keep)
    assert found == {"alpha": b"what alpha is to do"}
    await scene.platform.kv_put("strategies", "beta", b"nothing")
    await scene.platform.kv_put("strategies", "alpha", b"nothing")
    await _until(lambda: len(found) == 1 and found["alpha"] == b"nothing")
    await scene.platform.kv_put("snapshots", "risk", b"not ours")
    await bus.kv_put("snapshots", "strategy_alpha.1", b"state")
    assert (await bus.kv_read("snapshots", "strategy_alpha.1"))[0] == b"state"
    with pytest.raises(BusError):
        await bus.kv_read("snapshots", "risk")
    with pytest.raises(BusError):
        await bus.kv_read("snapshots", "strategy_beta")
    assert await bus.kv_read("snapshots", "strategy_alpha.2") == (b"", 0)
    with pytest.raises(BusError, match="no such message"):
        await bus.read(99)
    await bus.close()
