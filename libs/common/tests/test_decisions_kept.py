"""What strategies decided is kept on a server with users, each strategy's out of others' reach."""

import asyncio

import nats
import pytest

from tickbus import subjects
from tickbus.bus import NatsBus
from tickbus.permissions import TABLE, StrategyUser, allowed
from tickbus_testkit.brokers import nats_server
from tickbus_testkit.patience import PATIENCE_S
from tickbus_testkit.users import NEIGHBOR, Users

pytestmark = pytest.mark.usefixtures("patient_bus")
ALPHA, BETA = (StrategyUser(f"strategy-{name}", (name,)) for name in ("alpha", "beta"))
LOOKING = f"$JS.API.DIRECT.GET.{subjects.DECISIONS_STREAM}"


async def decided(bus: NatsBus, name: str, least: int = 1) -> list[bytes]:
    """What is kept of a strategy once there are `least`: nobody confirms what is fleeting."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            kept = await bus.look_back(subjects.decision(name), 0, 0, 100)
            if len(kept.messages) >= least:
                return [message.payload for message in kept.messages]
            await asyncio.sleep(0.01)


async def test_decisions_come_out_of_the_account_of_a_strategy_and_no_header_removes_any() -> None:
    users = Users((ALPHA, BETA))
    async with nats_server(users) as server:
        platform = await NatsBus.connect(server.url, "platform", users.login(NEIGHBOR))
        api = await NatsBus.connect(server.url, "api", users.login("api"))
        beta = await NatsBus.connect(server.url, "beta", users.login(BETA.name))
        await beta.publish(subjects.decision("beta"), b"of beta")
        assert await decided(api, "beta") == [b"of beta"]
        login = users.login(ALPHA.name)
        alpha = await nats.connect(server.url, user=login.user, password=login.password)
        for rollup in ("all", "sub"):
            await alpha.publish(
                subjects.decision("alpha"), b"FORGED", headers={"Nats-Rollup": rollup}
            )
        await alpha.publish(subjects.decision("beta"), b"FORGED")
        await alpha.publish(subjects.decision("alpha"), b"of alpha")
        assert await decided(api, "alpha") == [b"of alpha"]
        assert await decided(api, "beta") == [b"of beta"]
        await alpha.close()
        for bus in (platform, api, beta):
            await bus.close()


def test_only_the_gateway_looks_back_at_decisions() -> None:
    may = [name for name in TABLE if LOOKING in allowed(name)["publish"]["allow"]]
    assert may == ["api"]
