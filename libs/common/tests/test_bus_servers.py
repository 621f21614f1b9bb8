"""Of several servers of one cluster the bus connects to any that answers."""

import pytest

from tickbus.bus import BusError, NatsBus
from tickbus.login import servers
from tickbus_embedded import free_port
from tickbus_testkit.brokers import nats_server

pytestmark = pytest.mark.usefixtures("patient_bus")


def test_servers_are_given_with_commas_between() -> None:
    assert servers("nats://a:4222") == ["nats://a:4222"]
    assert servers("nats://a:4222, nats://b:4222,") == ["nats://a:4222", "nats://b:4222"]
    assert servers("") == []


async def test_a_server_that_is_away_is_passed_over(nats_url: str) -> None:
    away = f"nats://127.0.0.1:{free_port()}"
    for _ in range(5):  # in which order they are tried is left to chance
        bus = await NatsBus.connect(f"{away},{nats_url}", "test")
        await bus.close()


async def test_the_bus_goes_on_at_another_server_when_its_own_is_gone() -> None:
    async with nats_server() as one, nats_server() as other:
        for each in (one, other):  # they are no cluster: each gets the streams by itself
            await (await NatsBus.connect(each.url, "test")).close()
        bus = await NatsBus.connect(f"{one.url},{other.url}", "test")
        connected = bus._client.connected_url
        assert connected is not None
        mine = one if connected.port == one.port else other
        await mine.stop()
        await bus.publish_durable("orders.approved.sim", b"later", "id-1")
        await bus.close()


@pytest.mark.parametrize("url", ["", ",", "http://a:4222", "nats://a:4222,b:4222"])
async def test_what_is_no_address_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(BusError, match="several of one cluster with commas between"):
        await NatsBus.connect(url, "test")
