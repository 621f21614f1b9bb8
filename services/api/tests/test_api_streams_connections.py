"""Connections that listen: refused, bounded, cut off, resumed; and server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from http import HTTPStatus

import httpx
import pytest
from api_page import WAIT_S, Said, a_page, connected, edge_of, limit
from api_platform import LIMIT_BUY, Gateway, Platform, a_platform, filled
from starlette.requests import HTTPConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from tickbus_api.access import Principal
from tickbus_api.problems import Problem
from tickbus_api.streaming import edge
from tickbus_api.streaming.core import Hub, Terms
from tickbus_api.streaming.edge import Streams
from tickbus_api.streaming.frames import Frame
from tickbus_api.streaming.serving import serve


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with a_platform() as platform:
        yield platform


@pytest.mark.parametrize("text", ["", "[]", '{"op":"fly"}', '{"op":"ping","x":1}', "{" * 1000])
async def test_what_is_no_command_is_answered_and_the_connection_lives(
    platform: Platform, text: str
) -> None:
    async with a_page(platform) as page:
        await page.socket.send(text)
        error = await page.hear(kind="error")
        assert (error["code"], "subscribe" in error["remedy"]) == ("INVALID_COMMAND", True)
        await page.say(op="ping")
        assert (await page.hear(kind="pong"))["at"]


async def test_unsubscribing_ends_a_topic(platform: Platform) -> None:
    async with a_page(platform) as page:
        await page.subscribe("prices", "risk")
        heard = (await page.hear(kind="subscribed"))["topics"]
        assert heard == ["prices", "risk"]
        await page.say(op="unsubscribe", topics=["prices", "never heard"])
        assert (await page.hear(kind="subscribed"))["topics"] == ["risk"]
        streams = edge_of(platform).app.state.streams
        assert streams.hub.topics == ["risk"]


async def test_a_foreign_page_hears_nothing(platform: Platform) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connected(platform, origin=Origin("https://evil.example")).__aenter__()
    body = json.loads(refused.value.response.body)
    assert (refused.value.response.status_code, body["code"]) == (403, "ORIGIN_REFUSED")


async def test_a_message_beyond_all_bounds_closes_the_connection(platform: Platform) -> None:
    async with a_page(platform) as page:
        await page.socket.send("x" * 100_000)
        with pytest.raises(ConnectionClosed) as closed:
            await page.hear("nothing")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


async def test_events_over_http_say_the_same_and_resume_by_their_id(platform: Platform) -> None:
    url = f"http://127.0.0.1:{edge_of(platform).port}/api/v1/stream/sse"
    platform.answer = filled

    async def read(headers: dict[str, str]) -> list[tuple[str, Said]]:
        """The frames until each topic was heard of, each with the id of its event."""
        found: list[tuple[str, Said]] = []
        name = ""
        missing = {"orders", "fills"}
        params = {"topic": sorted(missing)}
        async with (
            asyncio.timeout(WAIT_S),
            httpx.AsyncClient(timeout=30) as http,
            http.stream("GET", url, params=params, headers=headers) as answer,
        ):
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for line in answer.aiter_lines():
                field, _, text = line.partition(": ")
                if field == "id":
                    name = text
                elif field == "data" and "topic" in (frame := json.loads(text)):
                    found.append((name, frame))
                    missing.discard(frame["topic"])
                    if not missing:
                        break
        return found

    first = await read({})
    assert {frame["topic"] for _, frame in first} == {"orders", "fills"}
    assert {frame["kind"] for _, frame in first} == {"snapshot"}
    await platform.http.post("/api/v1/orders", content=LIMIT_BUY)
    again = await read({"Last-Event-ID": first[-1][0]})
    assert {(frame["topic"], frame["kind"]) for _, frame in again} == {
        ("orders", "delta"),
        ("fills", "delta"),
    }


@pytest.mark.parametrize(
    ("query", "headers", "field"),
    [
        ("?topic=depht:BTC-USDT@sim", {}, "topic"),
        ("?topic=orders", {"Last-Event-ID": "orders=x"}, "Last-Event-ID"),
        ("", {}, "topic"),
        ("?topics=orders", {}, "topics"),
    ],
)
async def test_events_over_http_that_cannot_be_are_refused(
    platform: Platform, query: str, headers: dict[str, str], field: str
) -> None:
    answer = await platform.http.get(f"/api/v1/stream/sse{query}", headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert len(edge_of(platform).app.state.streams.hub) == 0


@pytest.mark.parametrize("part", ["clients_max", "topics_max"])
async def test_no_more_listen_than_is_allowed(platform: Platform, part: str) -> None:
    limit(platform, **{part: 1})
    async with a_page(platform) as page:
        if part == "topics_max":
            await page.subscribe("prices", "orders")
            assert (await page.hear(kind="error"))["code"] == "TOO_MANY_TOPICS"
            assert (await page.hear(kind="subscribed"))["topics"] == ["prices"]
            return
        with pytest.raises(InvalidStatus) as refused:
            await connected(platform).__aenter__()
        assert json.loads(refused.value.response.body)["code"] == "STREAMS_FULL"


class Blocked:
    """The connection of somebody who reads nothing."""

    def __init__(self) -> None:
        self.backlog = 0
        self.aborted = False

    def write(self, frames: Sequence[Frame]) -> None:
        self.backlog += 1_000_000

    def abort(self) -> None:
        self.aborted = True


async def test_one_that_reads_nothing_is_told_nothing_more_and_then_cut_off(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(platform, stalled_after_s=0.0)
    monkeypatch.setattr("tickbus_api.streaming.serving.ACCESS_EVERY_S", 600.0)  # has no login
    app = edge_of(platform).app
    streams: Streams = app.state.streams
    blocked = Blocked()
    monkeypatch.setattr("tickbus_api.streaming.serving.wire_of", lambda _: blocked)
    reasons: list[str] = []

    async def close(problem: Problem) -> None:
        assert not len(streams.hub), "nothing may be written behind the farewell"
        reasons.append(problem.code)

    connection = HTTPConnection({"type": "websocket", "app": app, "headers": []})
    listener = streams.join()
    listener.open(blocked)
    assert blocked.backlog == 1_000_000, "its greeting"
    listener.subscribe(["prices"], {})
    async with asyncio.timeout(WAIT_S):
        await serve(connection, listener, [], close)
    assert (reasons, blocked.aborted, blocked.backlog) == (["STREAM_STALLED"], True, 1_000_000)


async def test_one_whose_access_ended_hears_no_more(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody(*_: object) -> Principal:
        raise Problem(HTTPStatus.UNAUTHORIZED, "UNAUTHENTICATED", "the login has ended")

    monkeypatch.setattr("tickbus_api.streaming.serving.ACCESS_EVERY_S", 0.01)
    async with a_page(platform) as page:
        await page.subscribe("prices")
        await page.hear("prices")
        monkeypatch.setattr("tickbus_api.streaming.serving.principal_of", nobody)
        with pytest.raises(ConnectionClosed) as closed:
            await page.hear("nothing")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
        assert closed.value.rcvd.reason == "UNAUTHENTICATED: the login has ended"


async def test_with_logins_nobody_unknown_listens_and_a_key_taken_back_ends_its_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tickbus_api.streaming.serving.ACCESS_EVERY_S", 0.01)
    password = "correct horse battery"
    gateway = Gateway({"TICKBUS_ADMIN_PASSWORD": password}, access="login")
    await gateway.start()
    try:
        with pytest.raises(InvalidStatus) as refused:
            await connected(gateway).__aenter__()
        assert refused.value.response.status_code == 401
        login = await gateway.send("POST", "/api/v1/auth/login", user="admin", password=password)
        gateway.http.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
        made = await gateway.send("POST", "/api/v1/keys", name="page", scopes=["read"])
        key = made.json()
        async with a_page(gateway, key["key"]) as page:
            await page.subscribe("prices")
            await page.hear("prices")
            await gateway.http.delete(f"/api/v1/keys/{key['id']}")
            with pytest.raises(ConnectionClosed) as closed:
                await page.hear("nothing")
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason[:15]) == (1008, "UNAUTHENTICATED")
    finally:
        await gateway.stop()


async def test_who_leaves_is_forgotten(platform: Platform) -> None:
    streams = edge_of(platform).app.state.streams
    async with a_page(platform) as page:
        await page.subscribe("prices")
        await page.hear("prices")
        assert len(streams.hub) == 1
    async with asyncio.timeout(WAIT_S):
        while len(streams.hub):  # the server notes it a moment later
            await asyncio.sleep(0.01)
    assert streams.hub.topics == []


class Pretended:
    """A topic of which a test says what it has to say."""

    is_ready = True
    news: str | None = "0"

    def changes(self, now: int) -> str | None:
        news, self.news = self.news, None
        return news

    def state(self) -> str:
        return "0"


class Ears:
    """A connection that takes everything, and tells when it does."""

    backlog = 0

    def __init__(self) -> None:
        self.written: list[list[str]] = []
        self.on_write: list[Callable[[], None]] = []

    def write(self, frames: Sequence[Frame]) -> None:
        said = [json.loads(frame.text) for frame in frames]
        self.written.append([each["data"] for each in said if "topic" in each])
        while self.on_write:
            self.on_write.pop()()


async def test_a_step_does_not_wait_until_all_were_told_of_a_price(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "GATHER_S", -1.0)
    monkeypatch.setattr(edge, "TICK_S", 60.0)  # a machine that stands still is no fault
    streams = Streams(edge_of(platform).app.state.gateway)
    sources = {"prices": Pretended(), "orders": Pretended()}
    streams.hub = Hub(lambda topic: (sources[topic], Terms(every_ms=0, kept=8)))
    monkeypatch.setattr(streams, "_context", object())
    ears = [Ears() for _ in range(3 * edge.BURST)]
    for each in ears:
        listener = streams.join()
        for topic in sources:
            streams.hub.subscribe(listener.client, topic, 1)
        listener.open(each)
        each.written.clear()

    def step() -> None:
        sources["orders"].news = "2"
        streams.nudge()

    sources["prices"].news = "1"
    ears[0].on_write.append(step)
    await streams.tick()
    assert {str(each.written) for each in ears[: edge.BURST]} == {"[[1], [2]]"}
    assert {str(each.written) for each in ears[edge.BURST :]} == {"[[1, 2]]"}
