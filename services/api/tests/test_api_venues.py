"""What the gateway tells of the market's trades, of the venues, and of how well they are heard."""

from api_platform import NOW, Platform, a_platform

from tickbus import codec, subjects
from tickbus.events import BookTop, FeedState, FeedStatus, ServiceStatus, Side, Trade
from tickbus_api.core import TAPE_MAX, ApiCore

SECOND = 1_000_000_000


def a_trade(number: int, ts: int = NOW) -> Trade:
    return Trade(ts, ts + 1000, "sim", "BTC-USDT", f"t{number}", 100.5, 0.25, Side.SELL)


async def test_trades_come_newest_first_and_say_how_far_back_they_reach() -> None:
    async with a_platform() as platform:
        await platform.publish(*(a_trade(n, NOW + n * SECOND) for n in range(3)))
        body = (await platform.http.get("/api/v1/trades?symbol=btcusdt&limit=2")).json()
        assert [trade["id"] for trade in body["trades"]] == ["t2", "t1"]
        assert body["trades"][0] == {
            "id": "t2", "price": 100.5, "size": 0.25, "aggressor": "SELL",
            "at": "2023-11-14T22:13:22.000000Z", "received_at": "2023-11-14T22:13:22.000001Z",
        }  # fmt: skip
        assert body["complete_since"] == "2023-11-14T22:13:20.000000Z"
        late = await platform.http.get("/api/v1/trades?symbol=BTCUSDT&since=2023-11-14T22:13:22Z")
        assert [trade["id"] for trade in late.json()["trades"]] == ["t2"]


async def test_an_instrument_without_trades_has_an_empty_tape() -> None:
    async with a_platform() as platform:
        body = (await platform.http.get("/api/v1/trades?symbol=ETHUSDT")).json()
        assert (body["trades"], body["complete_since"]) == ([], None)


def test_the_tape_is_bounded() -> None:
    core = ApiCore()
    for number in range(TAPE_MAX + 5):
        core.handle(a_trade(number))
    tape = core.tapes["sim", "BTC-USDT"]
    assert (len(tape), tape[0].trade_id) == (TAPE_MAX, "t5")


def a_status(state: FeedState, reason: str = "", ts: int = NOW) -> FeedStatus:
    return FeedStatus(ts, ts, "sim", "BTC-USDT", state, reason)


async def test_feed_says_since_when_and_why_it_is_so() -> None:
    async with a_platform() as platform:
        assert (await platform.http.get("/api/v1/feeds")).json() == {"feeds": []}
        top = BookTop(NOW, NOW - SECOND, "sim", "BTC-USDT", 99.0, 1.0, 101.0, 1.0, 1, 7)
        await platform.publish(
            a_status(FeedState.LIVE, "", NOW - 9 * SECOND),
            a_status(FeedState.STALE, "gap: 7 after 5", NOW - 2 * SECOND),
            a_status(FeedState.STALE, "", NOW - SECOND),  # repeated every second, without the why
            top,
        )
        (feed,) = (await platform.http.get("/api/v1/feeds?venue=sim")).json()["feeds"]
        assert (feed["symbol"], feed["state"], feed["reason"]) == (
            "BTCUSDT", "STALE", "gap: 7 after 5",
        )  # fmt: skip
        assert feed["since"] == "2023-11-14T22:13:18.000000Z"
        assert feed["heard_at"] == "2023-11-14T22:13:19.000000Z"
        assert feed["market_age_ms"] == 1000


async def respond_as_feed(platform: Platform) -> None:
    status = ServiceStatus(
        NOW, NOW, "feed", "0", "1", True, "", 5.0, {}, {"gaps": 2.0, "clock_offset_ms": -1.5}, {},
        {},
    )  # fmt: skip

    async def respond(_: bytes) -> bytes:
        return codec.encode_value(status)

    await platform.bus.respond(subjects.STATUS, respond)


async def test_venue_shows_fees_state_and_who_speaks_with_it() -> None:
    async with a_platform() as platform:
        await respond_as_feed(platform)
        await platform.publish(a_status(FeedState.LIVE))
        (venue,) = (await platform.http.get("/api/v1/venues")).json()["venues"]
        assert (venue["name"], venue["is_main"], venue["taker_fee"]) == ("sim", True, "0.001")
        assert (venue["feed_state"], venue["instruments_live"]) == ("LIVE", 1)
        (connection,) = venue["connections"]
        assert (connection["service"], connection["clock_offset_ms"]) == ("feed", -1.5)
        assert connection["gauges"]["gaps"] == 2.0


async def test_unknown_venue_of_feeds_is_refused() -> None:
    async with a_platform() as platform:
        answer = await platform.http.get("/api/v1/feeds?venue=smi")
        assert (answer.status_code, answer.json()["field"]) == (422, "venue")
        assert "did you mean 'sim'?" in answer.json()["remedy"]
