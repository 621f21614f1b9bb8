"""Binance's protocol without a socket: orders, queries, weights, streams, controls."""

import json
from collections.abc import Callable

import pytest

from tickbus_exchange.app import Exchange
from tickbus_exchange.config import DEFAULT_BALANCES, DEFAULT_LISTINGS, ExchangeConfig, RateLimits
from tickbus_exchange.engine.numbers import parse, text
from tickbus_exchange.engine.orders import OrderRequest, OrderType, Side
from tickbus_exchange.protocol import signing
from tickbus_exchange.protocol.market_session import MarketSession
from tickbus_exchange.protocol.rest import HttpRequest

START_MS = 1_800_000_000_000
KEY = {b"x-mbx-apikey": b"sim-key"}


class World:
    """An exchange whose clock the test turns."""

    def __init__(self, **options: object) -> None:
        self.now_ms = START_MS
        settings: dict[str, object] = {
            "listings": DEFAULT_LISTINGS,
            "balances": DEFAULT_BALANCES,
            "intensity": 0.0,
        }
        config = ExchangeConfig(**(settings | options))  # type: ignore[arg-type]
        self.exchange = Exchange(config, lambda: self.now_ms)

    def ask(
        self, method: str, path: str, query: str = "", body: str = "", key: bool = False
    ) -> tuple[int, dict[str, object]]:
        request = HttpRequest(
            method, f"/api/v3/{path}", query.encode(), KEY if key else {}, body.encode(), "here"
        )
        response = self.exchange.rest.handle(request)
        return response.status, json.loads(response.body)

    def signed(
        self, method: str, path: str, query: str, **extra: object
    ) -> tuple[int, dict[str, object]]:
        query = "&".join(filter(None, [query, f"timestamp={extra.get('at', self.now_ms)}"]))
        query += "".join(f"&{k}={v}" for k, v in extra.items() if k != "at")
        signature = signing.sign(b"sim-secret", query.encode())
        return self.ask(method, path, f"{query}&signature={signature}", key=True)


@pytest.fixture
def world() -> World:
    return World()


# -- keys ------------------------------------------------------------------------------------------


def test_requests_that_are_not_ours(world: World) -> None:
    query = f"timestamp={START_MS}&signature=00"
    assert world.ask("GET", "account", query)[1]["code"] == -2014
    assert world.ask("GET", "account", query, key=True)[1]["code"] == -1022
    request = HttpRequest(
        "GET", "/api/v3/account", query.encode(), {b"x-mbx-apikey": b"x"}, b"", ""
    )
    response = world.exchange.rest.handle(request)
    assert (response.status, json.loads(response.body)["code"]) == (401, -2015)


# -- parameters ------------------------------------------------------------------------------------

LIMIT = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price=50000"
STOP = "symbol=BTCUSDT&side=BUY&type=STOP_LOSS_LIMIT&timeInForce=GTC&quantity=0.01"


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("", -1102, "'symbol'"),
        ("symbol=BTCUSDT", -1102, "'side'"),
        ("symbol=DOGEUSDT&side=BUY&type=MARKET&quantity=1", -1121, "Invalid symbol."),
        ("symbol=btc;drop&side=BUY&type=MARKET&quantity=1", -1100, "'symbol'"),
        (LIMIT.replace("BUY", "buy"), -1117, "Invalid side."),
        (LIMIT.replace("type=LIMIT", "type=NONE"), -1116, "Invalid orderType."),
        (LIMIT.replace("type=LIMIT", "type=STOP_LOSS"), -1106, "'timeInForce'"),
        (LIMIT.replace("type=LIMIT", "type=STOP_LOSS_LIMIT"), -1102, "'stopPrice' or 'trailing"),
        (STOP + "&price=61000&stopPrice=59000", -2010, "Stop price would trigger immediately."),
        (STOP + "&price=61000&stopPrice=60000", -2010, "Stop price would trigger immediately."),
        (STOP + "&price=61000&stopPrice=0", -1013, "Invalid stopPrice."),
        (STOP + "&price=61000&stopPrice=61000.001", -1013, "Filter failure: PRICE_FILTER"),
        (STOP + "&price=61000&stopPrice=61000&trailingDelta=9", -1013, "Trailing stop orders"),
        (STOP + "&stopPrice=61000", -1102, "'price'"),
        (LIMIT.replace("GTC", "GTX"), -1115, "Invalid timeInForce."),
        (LIMIT.replace("0.01", "-0.01"), -1100, "'quantity'"),
        (LIMIT.replace("0.01", ""), -1105, "'quantity' was empty"),
        (LIMIT.replace("0.01", "0"), -1013, "Invalid quantity."),
        (LIMIT.replace("=50000", "=50000.000000001"), -1111, "'price' has too much precision"),
        (LIMIT.replace("=50000", "=50000.001"), -1013, "Filter failure: PRICE_FILTER"),
        (LIMIT.replace("0.01", "0.000001"), -1013, "Filter failure: LOT_SIZE"),
        (LIMIT.replace("0.01", "0.00001"), -1013, "Filter failure: NOTIONAL"),
        (LIMIT.replace("0.01", "9"), -2010, "insufficient balance"),
        (LIMIT + "&stopPrice=1", -1106, "'stopPrice'"),
        (LIMIT + "&newOrderRespType=ALL", -1130, "'newOrderRespType'"),
        (LIMIT + "&newClientOrderId=%C3%A9", -1100, "'newClientOrderId'"),
        (LIMIT + "&nonsense=1", -1104, "read '8' parameter(s) but was sent '9'"),
        (LIMIT + "&side=BUY", -1101, "Duplicate values"),
        (LIMIT.replace("&price=50000", ""), -1102, "'price'"),
        ("symbol=BTCUSDT&side=BUY&type=MARKET", -1102, "'quantity' or 'quoteOrderQty'"),
        ("symbol=BTCUSDT&side=BUY&type=MARKET&quantity=1&price=1", -1106, "'price'"),
        (
            "symbol=BTCUSDT&side=BUY&type=LIMIT_MAKER&quantity=0.01&price=70000",
            -2010,
            "Order would immediately match and take.",
        ),
    ],
)
def test_bad_orders_get_binance_s_complaint(
    world: World, query: str, code: int, message: str
) -> None:
    status, answer = world.signed("POST", "order", query)
    assert (status, answer["code"]) == (400, code)
    assert message in str(answer["msg"])
    # An order test complains in the same way.
    assert world.signed("POST", "order/test", query)[1] == answer


def test_parameters_may_come_in_the_body_and_the_query_wins(world: World) -> None:
    query = "symbol=BTCUSDT&side=BUY"
    body = (
        f"side=SELL&type=LIMIT&timeInForce=GTC&quantity=0.01&price=50000&timestamp={world.now_ms}"
    )
    signature = signing.sign(b"sim-secret", (query + body).encode())
    status, answer = world.ask("POST", "order", query, f"{body}&signature={signature}", key=True)
    assert (status, answer["side"]) == (200, "BUY")


@pytest.mark.parametrize(("kind", "fields"), [("ACK", 5), ("RESULT", 16), ("FULL", 17)])
def test_response_types(world: World, kind: str, fields: int) -> None:
    query = "symbol=BTCUSDT&side=BUY&type=MARKET&quoteOrderQty=1000"
    _, answer = world.signed("POST", "order", query, newOrderRespType=kind)
    assert len(answer) == fields
    if kind == "FULL":
        fills = answer["fills"]
        assert isinstance(fills, list)
        assert sum(float(f["qty"]) for f in fills) == pytest.approx(float(str(answer["origQty"])))


def test_amendments_are_answered_told_and_refused_as_documented(world: World) -> None:
    _, order = world.signed("POST", "order", LIMIT, newClientOrderId="first")
    which = f"symbol=BTCUSDT&orderId={order['orderId']}"
    path = "order/amend/keepPriority"
    for query, code, message in (
        (f"{which}&newQty=0.02", -2038, "Order amend (quantity increase) is not supported."),
        (f"{which}&newQty=0.01", -2038, "The requested action would change no state; rejecting"),
        (f"{which}&newQty=0.000001", -1013, "Filter failure: LOT_SIZE"),
        (f"{which}&newQty=0.00005", -1013, "Filter failure: NOTIONAL"),
        (which, -1102, "'newQty'"),
        ("symbol=BTCUSDT&orderId=1&newQty=1", -2038, "Unknown order sent."),
    ):
        status, answer = world.signed("PUT", path, query)
        assert (status, answer["code"]) == (400, code)
        assert message in str(answer["msg"])
    _, answer = world.signed("PUT", path, f"{which}&newQty=0.004&newClientOrderId=second")
    amended = answer["amendedOrder"]
    assert isinstance(amended, dict)
    assert (amended["origClientOrderId"], amended["clientOrderId"]) == ("first", "second")
    _, history = world.signed("GET", "order/amendments", which)
    assert [(a["origQty"], a["newQty"]) for a in history] == [("0.01000000", "0.00400000")]  # type: ignore[index]
    for n in range(9):
        assert world.signed("PUT", path, f"{which}&newQty=0.00{399 - n}")[0] == 200
    _, spent = world.signed("PUT", path, f"{which}&newQty=0.003")
    assert (spent["code"], spent["msg"]) == (-2038, "Filter failure: MAX_NUM_ORDER_AMENDS")


def test_a_stop_order_is_shown_waiting_and_then_working(world: World) -> None:
    stop = "symbol=BTCUSDT&side=SELL&type=TAKE_PROFIT_LIMIT&timeInForce=GTC&quantity=0.01"
    _, order = world.signed("POST", "order", f"{stop}&price=60500&stopPrice=60400")
    assert set(order) == {
        "symbol", "orderId", "orderListId", "clientOrderId", "transactTime",
    }, "the default answer is an ACK"  # fmt: skip
    which = f"symbol=BTCUSDT&orderId={order['orderId']}"
    _, waiting = world.signed("GET", "order", which)
    shown = {k: waiting[k] for k in ("stopPrice", "isWorking", "workingTime", "status")}
    assert shown == {
        "stopPrice": "60400.00000000", "isWorking": False, "workingTime": -1, "status": "NEW",
    }  # fmt: skip
    world.now_ms += 7
    world.exchange.venue.engine.markets["BTCUSDT"].stops.see(parse("60400"))
    world.signed("POST", "order", "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.001")
    _, working = world.signed("GET", "order", which)
    assert (working["isWorking"], working["workingTime"]) == (True, START_MS + 7)
    _, cancelled = world.signed("DELETE", "order", which)
    assert cancelled["stopPrice"] == "60400.00000000"


def test_order_queries_by_either_id(world: World) -> None:
    _, order = world.signed("POST", "order", LIMIT, newClientOrderId="mine")
    by_id = world.signed("GET", "order", f"symbol=BTCUSDT&orderId={order['orderId']}")
    by_name = world.signed("GET", "order", "symbol=BTCUSDT&origClientOrderId=mine")
    assert by_id == by_name
    assert by_id[1]["status"] == "NEW"
    assert world.signed("GET", "order", "symbol=ETHUSDT&orderId=1")[1]["code"] == -2013
    both = f"symbol=BTCUSDT&orderId={order['orderId']}&origClientOrderId=other"
    assert world.signed("GET", "order", both)[1]["code"] == -2039
    assert world.signed("GET", "order", "symbol=BTCUSDT")[1]["code"] == -1102


def test_cancel_replace_reports_each_half(world: World) -> None:
    _, order = world.signed("POST", "order", LIMIT)
    query = LIMIT + f"&cancelReplaceMode=STOP_ON_FAILURE&cancelOrderId={order['orderId']}"
    status, answer = world.signed("POST", "order/cancelReplace", query)
    assert (status, answer["cancelResult"], answer["newOrderResult"]) == (200, "SUCCESS", "SUCCESS")
    status, answer = world.signed("POST", "order/cancelReplace", query)
    assert (status, answer["code"]) == (400, -2022)
    query = query.replace("STOP_ON_FAILURE", "ALLOW_FAILURE")
    status, answer = world.signed("POST", "order/cancelReplace", query)
    assert (status, answer["code"]) == (409, -2021)


def test_my_trades_from_an_id_and_of_one_order(world: World) -> None:
    market = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01"
    orders = [world.signed("POST", "order", market)[1] for _ in range(3)]
    _, fills = world.signed("GET", "myTrades", "symbol=BTCUSDT")
    assert isinstance(fills, list)
    first = fills[1]["id"]
    _, later = world.signed("GET", "myTrades", f"symbol=BTCUSDT&fromId={first}")
    assert later == fills[1:]
    _, one = world.signed("GET", "myTrades", f"symbol=BTCUSDT&orderId={orders[1]['orderId']}")
    assert one == [f for f in fills if f["orderId"] == orders[1]["orderId"]]
    timed = f"symbol=BTCUSDT&startTime=1&fromId={first}"
    assert world.signed("GET", "myTrades", timed)[1]["code"] == -1128


def test_a_resting_order_that_the_crowd_hits_is_a_maker_fill(world: World) -> None:
    venue = world.exchange.venue
    best = venue.engine.markets["BTCUSDT"].book.bids.best_price()
    inside = LIMIT.replace("50000", text(best + 1_000_000))
    _, order = world.signed("POST", "order", inside)
    hit = OrderRequest("BTCUSDT", Side.SELL, OrderType.MARKET, 400_000)
    venue.submit("noise-BTCUSDT", hit, world.now_ms)
    _, fills = world.signed("GET", "myTrades", "symbol=BTCUSDT")
    assert isinstance(fills, list)
    told = {k: fills[0][k] for k in ("orderId", "qty", "isMaker", "commission", "commissionAsset")}
    assert told == {
        "orderId": order["orderId"],
        "qty": "0.00400000",
        "isMaker": True,
        "commission": "0.00000400",
        "commissionAsset": "BTC",
    }
    _, now = world.signed("GET", "order", f"symbol=BTCUSDT&orderId={order['orderId']}")
    assert (now["status"], now["executedQty"]) == ("PARTIALLY_FILLED", "0.00400000")


def test_unknown_paths_and_retired_listen_keys(world: World) -> None:
    assert world.ask("GET", "nothing")[0] == 404
    assert world.ask("PUT", "order")[0] == 405
    assert world.ask("POST", "userDataStream")[0] == 410


def test_exchange_info_tells_every_filter(world: World) -> None:
    _, info = world.ask("GET", "exchangeInfo", "symbol=BTCUSDT")
    symbols = info["symbols"]
    assert isinstance(symbols, list)
    kinds = [f["filterType"] for f in symbols[0]["filters"]]
    assert kinds == [
        "PRICE_FILTER", "LOT_SIZE", "MARKET_LOT_SIZE", "PERCENT_PRICE_BY_SIDE", "NOTIONAL",
        "MAX_NUM_ORDERS",
        "MAX_NUM_ALGO_ORDERS",
        "MAX_NUM_ORDER_AMENDS",
    ]  # fmt: skip
    both = '["BTCUSDT","ETHUSDT"]'
    _, info = world.ask("GET", "exchangeInfo", f"symbols={both}")
    assert [s["symbol"] for s in info["symbols"]] == ["BTCUSDT", "ETHUSDT"]  # type: ignore[attr-defined]
    assert world.ask("GET", "exchangeInfo", "symbols=BTCUSDT")[1]["code"] == -1100


# -- limits ----------------------------------------------------------------------------------------


def test_weights_are_charged_as_documented(world: World) -> None:
    for query, weight in (
        ("limit=100", 5),
        ("limit=101", 25),
        ("limit=1000", 50),
        ("limit=5000", 250),
    ):
        before = world.exchange.limiter.used("here", world.now_ms)
        world.ask("GET", "depth", f"symbol=BTCUSDT&{query}")
        assert world.exchange.limiter.used("here", world.now_ms) - before == weight
    before = world.exchange.limiter.used("here", world.now_ms)
    world.signed("POST", "order", LIMIT)
    assert world.exchange.limiter.used("here", world.now_ms) == before
    world.signed("POST", "order", "symbol=BTCUSDT")
    assert world.exchange.limiter.used("here", world.now_ms) == before + 1


def test_unfilled_orders_are_counted_and_limited() -> None:
    world = World(rate_limits=RateLimits(orders_per_10s_max=2))
    market = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01"
    for query in (LIMIT, market, LIMIT):
        assert world.signed("POST", "order", query)[0] == 200
    status, answer = world.signed("POST", "order", LIMIT)
    assert (status, answer["code"]) == (429, -1015)
    world.now_ms += 10_000
    assert world.signed("POST", "order", LIMIT)[0] == 200


# -- market streams --------------------------------------------------------------------------------


class Client:
    """Collects what a stream subscriber is sent."""

    def __init__(self, world: World, path: str, query: str = "") -> None:
        self.frames: list[bytes] = []
        self.session = MarketSession(world.exchange.hub, self.frames.append, path, query)

    def control(self, **message: object) -> dict[str, object]:
        self.session.on_text(json.dumps(message))
        return _payload(self.frames.pop())

    def messages(self) -> list[dict[str, object]]:
        found = [_payload(f) for f in self.frames]
        self.frames.clear()
        return found


def _payload(frame: bytes) -> dict[str, object]:
    header = {126: 4, 127: 10}.get(frame[1], 2)
    payload: dict[str, object] = json.loads(frame[header:])
    return payload


def _resting(world: World, price: str) -> None:
    query = LIMIT.replace("50000", price)
    assert world.signed("POST", "order", query)[0] == 200


def test_raw_and_combined_shapes(world: World) -> None:
    raw = Client(world, "/ws/btcusdt@trade")
    combined = Client(world, "/stream", "streams=btcusdt@trade/btcusdt@aggTrade")
    world.signed("POST", "order", "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.00100")
    (trade,) = raw.messages()
    assert list(trade) == ["e", "E", "s", "t", "p", "q", "T", "m", "M"]
    assert (trade["e"], trade["q"], trade["m"]) == ("trade", "0.00100000", False)
    wrapped, aggregate = combined.messages()
    assert wrapped == {"stream": "btcusdt@trade", "data": trade}
    assert aggregate["stream"] == "btcusdt@aggTrade"
    data = aggregate["data"]
    assert isinstance(data, dict)
    assert (data["f"], data["l"]) == (trade["t"], trade["t"])


def test_live_subscription_changes(world: World) -> None:
    client = Client(world, "/ws")
    streams = ["btcusdt@trade", "ethusdt@depth"]
    assert client.control(method="SUBSCRIBE", params=streams, id=1) == {"result": None, "id": 1}
    assert client.control(method="LIST_SUBSCRIPTIONS", id="x")["result"] == streams
    client.control(method="UNSUBSCRIBE", params=streams[:1], id=2)
    assert client.control(method="LIST_SUBSCRIPTIONS", id=3)["result"] == streams[1:]
    assert client.control(method="GET_PROPERTY", params=["combined"], id=4)["result"] is False
    client.control(method="SET_PROPERTY", params=["combined", True], id=5)
    assert client.control(method="GET_PROPERTY", params=["combined"], id=6)["result"] is True


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", 3),
        ("[]", 2),
        ('{"id":1}', 2),
        ('{"method":"SHOUT","id":1}', 2),
        ('{"method":"SUBSCRIBE","params":"btcusdt@trade","id":1}', 2),
        ('{"method":"SUBSCRIBE","params":[1],"id":1}', 2),
        ('{"method":"SUBSCRIBE","params":[],"id":1.5}', 2),
        ('{"method":"GET_PROPERTY","params":["speed"],"id":1}', 0),
        ('{"method":"SET_PROPERTY","params":["combined",1],"id":1}', 1),
    ],
)
def test_malformed_control_messages_are_answered(world: World, message: str, code: int) -> None:
    client = Client(world, "/ws")
    client.session.on_text(message)
    error = client.messages()[0]["error"]
    assert isinstance(error, dict)
    assert error["code"] == code


def test_more_streams_than_allowed_are_refused(world: World) -> None:
    client = Client(world, "/ws")
    names = [f"btcusdt@x{i}" for i in range(1_025)]
    assert "error" in client.control(method="SUBSCRIBE", params=names, id=1)


@pytest.mark.parametrize(
    ("stream", "beat"), [("btcusdt@depth@100ms", "every_100ms"), ("btcusdt@depth", "every_second")]
)
def test_diffs_chain_without_a_hole_and_join_the_snapshot(
    world: World, stream: str, beat: str
) -> None:
    hub = world.exchange.hub
    publish: Callable[[], None] = getattr(hub, beat)
    client = Client(world, f"/ws/{stream}")
    hub.every_100ms()
    hub.every_second()
    client.messages()
    _resting(world, "50000")
    _, snapshot = world.ask("GET", "depth", "symbol=BTCUSDT&limit=5000")
    _resting(world, "50001")
    publish()
    _resting(world, "50002")
    hub.every_100ms()
    publish()
    publish()
    diffs = client.messages()
    last = snapshot["lastUpdateId"]
    assert isinstance(last, int)
    first_u = diffs[0]["U"]
    assert isinstance(first_u, int)
    assert first_u <= last + 1 <= diffs[0]["u"]  # type: ignore[operator]
    assert diffs[1]["U"] == diffs[0]["u"] + 1  # type: ignore[operator]
    assert ["50001.00000000", "0.01000000"] in diffs[0]["b"]  # type: ignore[operator]
    assert len(diffs) == 2


def test_a_level_that_is_gone_has_quantity_zero(world: World) -> None:
    hub = world.exchange.hub
    client = Client(world, "/ws/btcusdt@depth@100ms")
    hub.every_100ms()
    client.messages()
    _resting(world, "50000")
    world.signed("DELETE", "openOrders", "symbol=BTCUSDT")
    hub.every_100ms()
    assert client.messages()[0]["b"] == [["50000.00000000", "0.00000000"]]


def test_a_gap_on_demand_loses_exactly_one_diff(world: World) -> None:
    hub = world.exchange.hub
    client = Client(world, "/ws/btcusdt@depth@100ms")
    hub.every_100ms()
    client.messages()
    seen = []
    hub_beats = ((False, "50000"), (True, "50001"), (False, "50002"))
    for lose, price in hub_beats:
        if lose:
            hub.lose_next_diff("BTCUSDT")
        _resting(world, price)
        hub.every_100ms()
        seen.append([(m["U"], m["u"]) for m in client.messages()])
    (before,), lost, (after,) = seen
    assert lost == []
    assert after[0] == before[1] + 2  # type: ignore[operator]


def test_book_ticker_speaks_only_when_the_top_changes(world: World) -> None:
    client = Client(world, "/ws/btcusdt@bookTicker")
    _resting(world, "50000")
    assert client.messages() == []
    ask = world.exchange.venue.engine.markets["BTCUSDT"].book.asks.best_price()
    _resting(world, text(ask - 1_000_000))
    (ticker,) = client.messages()
    assert list(ticker) == ["u", "s", "b", "B", "a", "A"]
    assert ticker["b"] == text(ask - 1_000_000)


def test_partial_depth_and_candles(world: World) -> None:
    client = Client(world, "/stream", "streams=btcusdt@depth5@100ms/btcusdt@kline_1m")
    world.signed("POST", "order", "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.001")
    world.exchange.hub.every_100ms()
    world.exchange.hub.every_two_seconds()
    depth, candle = client.messages()
    assert [len(depth["data"][s]) for s in ("bids", "asks")] == [5, 5]  # type: ignore[index]
    assert candle["data"]["k"]["v"] == "0.00100000"  # type: ignore[index]
