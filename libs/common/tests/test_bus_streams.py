"""The streams and buckets are kept on as many servers as the configuration says."""

import asyncio

import pytest
from nats.js.api import StreamConfig, StreamInfo, StreamState

from tickbus.bus import BusError, Message, NatsBus
from tickbus.bus.streams import bucket, check_headers, check_replicas, streams
from tickbus.config import ConfigError, Settings
from tickbus_testkit.brokers import nats_server

pytestmark = pytest.mark.usefixtures("patient_bus")


@pytest.mark.parametrize("replicas", [1, 3])
def test_each_stream_and_bucket_has_the_replicas_that_were_asked_for(replicas: int) -> None:
    assert {config.num_replicas for config in streams(replicas)} == {replicas}
    assert bucket("leases", replicas).num_replicas == replicas


def test_the_configuration_says_how_many_and_one_without_it() -> None:
    assert Settings({}).bus_replicas == 1
    assert Settings({"bus": {"replicas": "3"}}).bus_replicas == 3


@pytest.mark.parametrize("replicas", [0, 6, "many"])
def test_what_no_cluster_can_keep_is_refused(replicas: object) -> None:
    with pytest.raises(ConfigError, match=r"bus\.replicas"):
        _ = Settings({"bus": {"replicas": replicas}}).bus_replicas


def info(replicas: int) -> StreamInfo:
    config = StreamConfig(name="ORDERS", num_replicas=replicas)
    return StreamInfo(config=config, state=StreamState(0, 0, 0, 0, 0))


def test_a_stream_on_too_few_servers_is_said_with_the_remedy(
    caplog: pytest.LogCaptureFixture,
) -> None:
    check_replicas(info(1), 3)
    assert "nats stream edit ORDERS --replicas 3" in caplog.text


@pytest.mark.parametrize(("have", "wanted"), [(1, 1), (3, 3), (3, 1)])
def test_enough_servers_are_not_worth_a_word(
    have: int, wanted: int, caplog: pytest.LogCaptureFixture
) -> None:
    check_replicas(info(have), wanted)
    assert not caplog.text


async def test_a_bucket_of_an_earlier_version_is_named_with_the_remedy_which_helps(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with nats_server() as server:
        bus = await NatsBus.connect(server.url, "test")
        old = bucket("snapshots", 1).evolve(allow_rollup_hdrs=True)
        await bus._js.add_stream(old)
        await bus.kv_put("snapshots", "risk", b"kept")
        assert "nats stream edit KV_snapshots --no-allow-rollup" in caplog.text
        assert (await bus._js.update_stream(bucket("snapshots", 1))).config.num_replicas == 1
        caplog.clear()
        check_headers(await bus._js.stream_info("KV_snapshots"))
        assert not caplog.text
        assert (await bus.kv_read("snapshots", "risk"))[0] == b"kept"
        await bus.close()


async def test_what_the_stream_may_take_is_told_where_it_has_a_limit() -> None:
    async with nats_server() as server:
        bus = await NatsBus.connect(server.url, "test")
        await bus.last_sequence()
        assert "stream_bytes_max" not in {name for name, _, _ in bus.measure()}
        (orders, *_) = streams(1)
        await bus._js.update_stream(orders.evolve(max_bytes=1_000_000))
        await bus.last_sequence()
        measured = {name: value for name, value, _ in bus.measure()}
        assert (measured["stream_bytes"], measured["stream_bytes_max"]) == (0, 1_000_000)
        await bus.close()


async def test_a_single_server_cannot_keep_three_copies_and_the_error_says_what_to_do() -> None:
    async with nats_server() as server:
        with pytest.raises(BusError, match=r"3 NATS servers .* or set bus\.replicas to 1"):
            await NatsBus.connect(server.url, "test", replicas=3)
        bus = await NatsBus.connect(server.url, "test")
        await bus.close()


async def test_who_reads_the_stream_of_orders_knows_how_far_it_is_behind() -> None:
    stuck, going_on = asyncio.Event(), asyncio.Event()

    async def handle(_: Message) -> None:
        stuck.set()
        await going_on.wait()

    async with nats_server() as server, asyncio.timeout(60):
        bus = await NatsBus.connect(server.url, "test")
        assert dict(bus.behind()) == {}
        for number in range(3):
            await bus.publish_durable("orders.intent.x", b"x", f"m{number}")
        consumption = await bus.consume("test", ["orders.intent.x"], handle)
        await stuck.wait()
        assert dict(bus.behind()) == {"orders_behind_messages": 3}
        going_on.set()
        await consumption.caught_up()
        assert dict(bus.behind()) == {"orders_behind_messages": 0}
        await bus.close()


async def test_a_value_that_nobody_takes_is_not_offered_again_behind_a_later_one() -> None:
    async with nats_server() as server:
        bus = await NatsBus.connect(server.url, "test")
        try:
            await bus.kv_put("control", "trading", b"before")
            # As while the servers of a cluster have no leader for it: nobody answers.
            await bus._js.delete_stream("KV_control")
            with pytest.raises(BusError, match="cannot keep control/trading"):
                await bus.kv_put("control", "trading", b"resume")
            await bus._js.add_stream(bucket("control", 1))
            await bus.kv_put("control", "trading", b"kill")
            assert await bus.kv_read("control", "trading") == (b"kill", 1)
        finally:
            await bus.close()
