"""What a strategy may not say is taken from the table itself, and headers open no door either."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import nats
import pytest
from nats.aio.client import Client

from tickbus import subjects
from tickbus.bus import Message, NatsBus
from tickbus.permissions import (
    ASKED,
    BUCKETS,
    RESERVED,
    STREAMS,
    TABLE,
    StrategyUser,
    covers,
    inbox,
)
from tickbus_testkit.brokers import nats_server
from tickbus_testkit.patience import PATIENCE_S
from tickbus_testkit.users import NEIGHBOR, Users

pytestmark = pytest.mark.usefixtures("patient_bus")
ALPHA = StrategyUser("strategy-alpha", ("alpha",))
SHARED = StrategyUser()
APPROVED = subjects.approved("sim")
STREAM_VERBS = (
    "CREATE", "UPDATE", "INFO", "DELETE", "PURGE", "MSG.GET", "MSG.DELETE", "SNAPSHOT", "RESTORE",
    "LEADER.STEPDOWN", "PEER.REMOVE",
)  # fmt: skip
CONSUMER_VERBS = (
    "CREATE.{}", "CREATE.{}.x", "CREATE.{}.x.orders.intent.alpha", "DURABLE.CREATE.{}.x",
    "DELETE.{}.x", "INFO.{}.x", "LIST.{}", "NAMES.{}", "MSG.NEXT.{}.x", "PAUSE.{}.x",
    "LEADER.STEPDOWN.{}.x", "UNPIN.{}.x", "RESET.{}.x",
)  # fmt: skip


def concrete(pattern: str) -> str:
    """A subject that `pattern` matches."""
    return pattern.replace("*", "x").replace(">", "x.y")


def of_the_platform() -> Iterator[str]:
    """A subject of each kind that is said, heard, kept or asked in the platform's account."""
    for service, row in TABLE.items():
        yield from map(concrete, (*row.says, *row.hears))
        yield f"{inbox(service)}.x"
        yield f"deliver.{service}.x"
        yield f"$KV.snapshots.{service}"
    yield from (f"$KV.{bucket}.x" for bucket in BUCKETS)
    yield from (f"orders.intent.{name}" for name in RESERVED)
    for stream in (*STREAMS, *(f"KV_{bucket}" for bucket in BUCKETS)):
        yield from (f"$JS.API.STREAM.{verb}.{stream}" for verb in STREAM_VERBS)
        yield from (f"$JS.API.CONSUMER.{verb.format(stream)}" for verb in CONSUMER_VERBS)
        yield f"$JS.API.DIRECT.GET.{stream}"
        yield f"$JS.API.DIRECT.GET.{stream}.x"
        yield f"$JS.ACK.{stream}.x.1.1.1.1.1"
    yield from ("$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$SYS.REQ.USER.INFO")


def forbidden(user: StrategyUser) -> list[str]:
    """What it must not say; `ASKED` and `_R_` lead nowhere from its account."""
    may = (*user.sent, subjects.READER, "_R_.>", "rehearsal.strategy.>", *ASKED)
    reserved = [f"orders.intent.{name}" for name in RESERVED]
    return [
        subject
        for subject in dict.fromkeys(of_the_platform())
        if subject in reserved or not any(covers(pattern, subject) for pattern in may)
    ]


class Scene(NamedTuple):
    """A server with the platform's account, and what execution was given to send."""

    url: str
    users: Users
    platform: NatsBus
    approved: list[Message]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    users = Users((ALPHA, SHARED))
    got: list[Message] = []

    async def keep(message: Message) -> None:
        got.append(message)

    async with nats_server(users) as server:
        platform = await NatsBus.connect(server.url, "platform", users.login(NEIGHBOR))
        for bucket in BUCKETS:
            await platform.kv_put(bucket, "risk", b"kept")
        execution = await NatsBus.connect(server.url, "execution", users.login("execution"))
        await execution.consume("execution", [APPROVED], keep)
        await platform.subscribe("orders.approved.>", keep)
        yield Scene(server.url, users, platform, got)
        await execution.close()
        await platform.close()


async def intruder(scene: Scene, user: StrategyUser, errors: list[str]) -> Client:
    async def on_error(error: Exception) -> None:
        errors.append(str(error).lower())

    login = scene.users.login(user.name)
    return await nats.connect(
        scene.url, user=login.user, password=login.password, error_cb=on_error,
        inbox_prefix=f"_INBOX.{login.user}", connect_timeout=PATIENCE_S,
    )  # fmt: skip


@pytest.mark.parametrize("user", [ALPHA, SHARED], ids=lambda user: user.name)
async def test_no_subject_of_the_table_can_be_spoken_on(scene: Scene, user: StrategyUser) -> None:
    errors: list[str] = []
    client = await intruder(scene, user, errors)
    targets = forbidden(user)
    assert {APPROVED.replace("sim", "x.y"), "$KV.control.x", "$KV.leases.x"} <= set(targets)
    for target in targets:
        await client.publish(target, b"FORGED", reply="orders.intent.alpha")
    await client.flush(PATIENCE_S)
    deadline = time.monotonic() + PATIENCE_S
    while missing := [t for t in targets if not any(f'"{t.lower()}"' in e for e in errors)]:
        assert time.monotonic() < deadline, missing
        await asyncio.sleep(0.02)
    assert scene.approved == []
    for bucket in BUCKETS:
        assert (await scene.platform.kv_read(bucket, "risk"))[0] == b"kept"
    await client.close()


AT_ONCE = "1970-01-01T00:00:00Z"
HEADERS = (
    {"Nats-Rollup": "all"},
    {"Nats-Rollup": "sub"},
    {"Nats-Schedule": f"@at {AT_ONCE}", "Nats-Schedule-Target": APPROVED},
    {"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": APPROVED},
    {"Nats-Schedule": f"@at {AT_ONCE}", "Nats-Schedule-Target": "$KV.control.risk"},
    {"Nats-TTL": "1"},
    {"Nats-Incr": "+1"},
    {"Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1", "Nats-Batch-Commit": "1"},
    {"KV-Operation": "PURGE", "Nats-Rollup": "all"},
    {"Nats-Marker-Reason": "Purge"},
    {"Nats-Expected-Stream": "ORDERS", "Nats-Expected-Last-Sequence": "0"},
)


async def test_no_header_makes_the_server_write_or_forget_for_a_strategy(scene: Scene) -> None:
    for number in range(3):
        await scene.platform.publish_durable("orders.event.sim.beta", b"kept", f"k{number}")
    js = scene.platform._js
    before = (await js.stream_info("ORDERS")).state.messages
    errors: list[str] = []
    client = await intruder(scene, ALPHA, errors)
    for subject in (
        "orders.intent.alpha", "quarantine.strategy-alpha", "quarantine.strategy",
        "$KV.snapshots.strategy_alpha.x", "$KV.deadletters.strategy_alpha.x",
    ):  # fmt: skip
        for headers in HEADERS:
            await client.publish(subject, b"FORGED", headers=headers)
    await client.flush(PATIENCE_S)
    await asyncio.sleep(1.2)
    assert scene.approved == []
    assert (await js.stream_info("ORDERS")).state.messages >= before
    for bucket in BUCKETS:
        assert (await scene.platform.kv_read(bucket, "risk"))[0] == b"kept", bucket
    await client.close()
