"""Faults on demand: as often as wished, the same for the same seed, and never unasked."""

import json
from typing import Any

import pytest

from tickbus_exchange.app import Exchange
from tickbus_exchange.config import DEFAULT_BALANCES, DEFAULT_LISTINGS, ExchangeConfig, RateLimits
from tickbus_exchange.protocol import signing
from tickbus_exchange.protocol.faults import KINDS, NO_FAULT, Faults, FaultSettings
from tickbus_exchange.protocol.limits import WARNINGS_MAX
from tickbus_exchange.protocol.rest import Ending, HttpRequest, HttpResponse

PAYLOAD = b'{"stream":"btcusdt@trade","data":{"p":"100.0"}}'
STREAM = "btcusdt@trade"
ALL: Any = dict.fromkeys(KINDS, 0.05)


def run(settings: FaultSettings, messages: int = 2_000, client: int = 1) -> list[list[bytes]]:
    faults = Faults()
    faults.set(settings)
    return [faults.apply(client, STREAM, b"%d %b" % (n, PAYLOAD)) for n in range(messages)]


def test_without_settings_nothing_is_faulty() -> None:
    faults = Faults()
    assert not faults.active
    faults.set(FaultSettings())
    assert not faults.active
    assert faults.apply(1, STREAM, PAYLOAD) == [PAYLOAD]


def test_same_seed_gives_the_same_faults() -> None:
    settings = FaultSettings(seed=7, **ALL)
    assert run(settings) == run(settings)
    assert run(settings) != run(FaultSettings(seed=8, **ALL))


@pytest.mark.parametrize("kind", KINDS)
def test_each_fault_comes_about_as_often_as_wished(kind: str) -> None:
    faults = Faults()
    some: Any = {kind: 0.1}
    faults.set(FaultSettings(**some))
    for n in range(2_000):
        faults.apply(1, STREAM, b"%d %b" % (n, PAYLOAD))
    assert 150 < faults.counts[kind] < 250
    assert sum(faults.counts.values()) == faults.counts[kind]


def test_reordered_message_comes_behind_the_next_one() -> None:
    sent = [part for parts in run(FaultSettings(reorder=0.2)) for part in parts]
    numbers = [int(part.split()[0]) for part in sent]
    assert sorted(numbers) == list(range(len(numbers))), "none is lost"
    assert numbers != sorted(numbers)
    assert all(abs(number - place) <= 1 for place, number in enumerate(numbers))


def test_torn_and_corrupt_messages_are_no_json() -> None:
    for settings in (FaultSettings(truncate=1.0), FaultSettings(corrupt=1.0)):
        faults = Faults()
        faults.set(settings)
        for _ in range(200):
            (part,) = faults.apply(1, STREAM, PAYLOAD)
            with pytest.raises(ValueError, match=r"."):
                json.loads(part)


def test_silent_symbol_says_nothing_and_the_others_go_on() -> None:
    faults = Faults()
    faults.set(FaultSettings(silent=("BTCUSDT",)))
    assert faults.apply(1, STREAM, PAYLOAD) == []
    assert faults.apply(1, "ethusdt@trade", PAYLOAD) == [PAYLOAD]


def test_requests_meet_faults_as_often_as_wished_and_half_of_the_unknown_are_carried_out() -> None:
    faults = Faults()
    assert faults.of_request() == NO_FAULT
    faults.set(FaultSettings(lose_answer=0.1, unknown=0.2))
    met = [(f.kind, f.is_carried_out) for f in (faults.of_request() for _ in range(2_000))]
    assert 150 < met.count(("lose_answer", True)) < 250
    assert 150 < met.count(("unknown", True)) < 250
    assert 150 < met.count(("unknown", False)) < 250
    assert ("lose_answer", False) not in met


def test_user_events_are_dropped_doubled_and_reordered() -> None:
    faults = Faults()
    assert faults.of_event(b"1") == [b"1"]
    faults.set(FaultSettings(drop_user=0.1, duplicate_user=0.1, reorder_user=0.1))
    sent = [part for n in range(1_000) for part in faults.of_event(b"%d" % n) or ()]
    counts = faults.counts
    assert min(counts["drop_user"], counts["duplicate_user"], counts["reorder_user"]) > 50
    numbers = [int(part) for part in sent]
    assert numbers != sorted(numbers)
    assert len(set(numbers)) == 1_000 - counts["drop_user"] - len(faults._held_user.get("user", []))


# -- requests --------------------------------------------------------------------------------------

START_MS = 1_800_000_000_000
LIMIT = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.001&price=50000"


class World:
    """An exchange whose clock the test turns, asked over REST without a socket."""

    def __init__(self, **faults: Any) -> None:
        self.now_ms = START_MS
        limits = RateLimits(orders_per_10s_max=100_000)
        config = ExchangeConfig(
            listings=DEFAULT_LISTINGS, balances=DEFAULT_BALANCES, intensity=0.0, rate_limits=limits
        )
        self.exchange = Exchange(config, lambda: self.now_ms)
        self.exchange.faults.set(FaultSettings(**faults))
        self.frames: list[bytes] = []
        self.session = self.exchange.api_session("here", self.frames.append)

    def ask(self, method: str, path: str, query: str = "", *, sign: bool = True) -> HttpResponse:
        if sign:
            query = f"{query}&timestamp={self.now_ms}".lstrip("&")
            query += f"&signature={signing.sign(b'sim-secret', query.encode())}"
        key = {b"x-mbx-apikey": b"sim-key"}
        request = HttpRequest(method, f"/api/v3/{path}", query.encode(), key, b"", "here")
        return self.exchange.rest.handle(request)

    def call(self, method: str) -> None:
        self.session.on_text(json.dumps({"id": 1, "method": method}))

    @property
    def working(self) -> int:
        return len(self.exchange.venue.user.working_orders("BTCUSDT"))


@pytest.mark.parametrize("fault", ["unknown", "server_error"])
def test_what_nobody_knows_was_carried_out_or_not(fault: str) -> None:
    world = World(seed=3, **{fault: 1.0})
    answers = [world.ask("POST", "order", LIMIT) for _ in range(60)]
    assert 15 < world.working < 45
    assert all(a.status >= 500 for a in answers)
    if fault == "server_error":
        assert {a.status for a in answers} == {500, 502, 503, 504}
        assert all(a.body.startswith(b"<html>") for a in answers if a.status == 502)
    world.call("ping")
    assert b'"status":5' in world.frames[-1]


@pytest.mark.parametrize(
    ("code", "status", "may_be_done"),
    [
        (-1000, 500, True), (-1001, 500, True), (-1003, 429, False), (-1006, 500, True),
        (-1007, 504, True), (-1008, 503, False), (-1015, 429, False), (-1021, 400, False),
    ],
)  # fmt: skip
def test_a_refusal_on_demand_carries_nothing_out_unless_its_code_leaves_that_open(
    code: int, status: int, may_be_done: bool
) -> None:
    world = World(refuse=1.0, refuse_codes=(code,))
    answers = [world.ask("POST", "order", LIMIT) for _ in range(30)]
    assert {(a.status, json.loads(a.body)["code"]) for a in answers} == {(status, code)}
    assert (world.working > 0) is may_be_done
    if status == 429:
        assert dict(answers[0].headers)["retry-after"] == "1"


def test_throttling_lasts_as_long_as_it_says_and_becomes_a_ban_for_who_ignores_it() -> None:
    world = World(throttle=1.0, throttle_s=7)
    first = world.ask("GET", "time", sign=False)
    assert (first.status, dict(first.headers)["retry-after"]) == (429, "7")
    world.exchange.faults.set(FaultSettings())
    world.now_ms += 6_999
    assert world.ask("GET", "time", sign=False).status == 429
    world.call("time")
    assert b'"retryAfter":%d' % (START_MS + 7_999) in world.frames[-1]
    world.now_ms += 1
    assert world.ask("GET", "time", sign=False).status == 200
    world.exchange.faults.set(FaultSettings(throttle=1.0, throttle_s=60))
    world.ask("GET", "time", sign=False)
    world.exchange.faults.set(FaultSettings())
    statuses = [world.ask("GET", "time", sign=False).status for _ in range(WARNINGS_MAX)]
    assert (statuses[0], statuses[-1]) == (429, 418)


def test_a_ban_on_demand() -> None:
    world = World(ban=1.0, ban_s=30)
    first = world.ask("GET", "time", sign=False)
    assert first.status == 418
    assert int(dict(first.headers)["retry-after"]) in {30, 31}
    world.exchange.faults.set(FaultSettings())
    assert world.ask("GET", "time", sign=False).status == 418
    world.now_ms += 30_000
    assert world.ask("GET", "time", sign=False).status == 200


def test_a_lost_answer_over_rest_was_carried_out_and_falls_silent_or_is_cut() -> None:
    world = World(lose_answer=1.0)
    answers = [world.ask("POST", "order", LIMIT) for _ in range(40)]
    assert world.working == 40
    assert {a.ending for a in answers} == {Ending.SILENT, Ending.CUT}
    assert world.ask("GET", "depth", "symbol=BTCUSDT", sign=False).ending is Ending.SENT


def test_a_query_may_not_find_what_is_there() -> None:
    world = World(not_found=1.0)
    placed = json.loads(world.ask("POST", "order", LIMIT).body)
    which = f"symbol=BTCUSDT&orderId={placed['orderId']}"
    assert json.loads(world.ask("GET", "order", which).body)["code"] == -2013
    assert len(json.loads(world.ask("GET", "openOrders").body)) == 1
    assert json.loads(world.ask("DELETE", "order", which).body)["status"] == "CANCELED"


def test_answers_come_later_within_the_jitter() -> None:
    world = World(delay_ms=100, delay_jitter_ms=50)
    delays = [world.ask("GET", "time", sign=False).delay_ms for _ in range(50)]
    assert 100 <= min(delays) < max(delays) <= 150
    world.call("time")
    world.now_ms += 99
    world.exchange.step()
    assert world.frames == []
    world.now_ms += 52
    world.exchange.step()
    assert len(world.frames) == 1


def subscribed(**faults: Any) -> World:
    world = World()
    values = {"apiKey": "sim-key", "timestamp": str(START_MS)}
    values["signature"] = signing.sign(b"sim-secret", signing.socket_payload(values))
    method = "userDataStream.subscribe.signature"
    world.session.on_text(json.dumps({"id": 1, "method": method, "params": values}))
    world.frames.clear()
    world.exchange.faults.set(FaultSettings(**faults))
    return world


def test_user_events_come_later_in_their_order() -> None:
    world = subscribed(delay_user_ms=50, delay_user_jitter_ms=200)
    for _ in range(20):
        world.ask("POST", "order", LIMIT)
        world.now_ms += 10
        world.exchange.step()
    assert len(world.frames) < 40
    world.now_ms += 250
    world.exchange.step()
    ids = [json.loads(f[4:])["event"].get("I") for f in world.frames]
    reports = [i for i in ids if i is not None]
    assert len(world.frames) == 40
    assert reports == sorted(reports)


def test_a_silent_user_stream_says_nothing_until_it_ends() -> None:
    world = subscribed(silent_user=True)
    world.ask("POST", "order", LIMIT)
    assert world.frames == []
    assert world.exchange.faults.counts["silent_user"] == 2
    world.exchange.faults.set(FaultSettings())
    world.ask("POST", "order", LIMIT)
    assert len(world.frames) == 2


def test_a_terminated_user_stream_says_so_and_is_over() -> None:
    world = subscribed(terminate_user=1.0)
    world.ask("POST", "order", LIMIT)
    (ended,) = world.frames
    assert b"eventStreamTerminated" in ended
    world.exchange.faults.set(FaultSettings())
    world.ask("POST", "order", LIMIT)
    assert len(world.frames) == 1


def test_an_event_held_back_of_one_account_never_reaches_another() -> None:
    faults = Faults()
    faults.set(FaultSettings(reorder_user=1.0))
    assert faults.of_event(b"hers", "she") == []
    faults.settings = FaultSettings()
    assert faults.of_event(b"his", "he") == [b"his"]
    assert faults.of_event(b"next", "she") == [b"next", b"hers"]
