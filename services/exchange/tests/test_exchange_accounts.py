"""Several users of one exchange: keys and what they may do, books of their own, acts by hand."""

import base64
import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tickbus_exchange.admin import Admin
from tickbus_exchange.app import Exchange
from tickbus_exchange.config import (
    DEFAULT_BALANCES,
    DEFAULT_LISTINGS,
    FEE_ASSET_LISTING,
    AccountConfig,
    ExchangeConfig,
    KeyConfig,
    read_accounts,
)
from tickbus_exchange.engine.numbers import text
from tickbus_exchange.house import House
from tickbus_exchange.journal import JournalError
from tickbus_exchange.protocol import signing
from tickbus_exchange.protocol.keys import BadKeyError
from tickbus_exchange.protocol.rest import HttpRequest

START_MS = 1_800_000_000_000
LIMIT = "symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price=50000"
MARKET = "symbol=BTCUSDT&side=BUY&type=MARKET&quantity=0.01"
Json = dict[str, Any]
DESK = AccountConfig(
    name="desk",
    balances={"USDT": "5000"},
    keys=(
        KeyConfig(key="desk-key", secret="desk-secret"),
        KeyConfig(key="reader", secret="reader-secret", permissions=("read",)),
    ),
)
SECRETS = {"sim-key": "sim-secret", "desk-key": "desk-secret", "reader": "reader-secret"}


class World:
    """An exchange with two users, asked without a socket."""

    def __init__(self, accounts: tuple[AccountConfig, ...] = (DESK,), **options: Any) -> None:
        config = ExchangeConfig(
            listings=(*DEFAULT_LISTINGS, FEE_ASSET_LISTING),
            balances=DEFAULT_BALANCES,
            intensity=0.0,
            accounts=accounts,
            **options,
        )
        self.exchange = Exchange(config, lambda: START_MS)
        self.admin = Admin(self.exchange, lambda: 0, lambda _: 0)
        self.frames: list[bytes] = []
        self.session = self.exchange.api_session("here", self.frames.append)

    def signed(self, method: str, path: str, query: str = "", key: str = "sim-key") -> Any:
        query = f"{query}&timestamp={START_MS}".lstrip("&")
        signature = signing.sign(SECRETS[key].encode(), query.encode())
        return self.rest(method, path, f"{query}&signature={signature}", key)

    def rest(self, method: str, path: str, query: str, key: str) -> Any:
        headers = {b"x-mbx-apikey": key.encode()}
        request = HttpRequest(method, f"/api/v3/{path}", query.encode(), headers, b"", "here")
        return json.loads(self.exchange.rest.handle(request).body)

    def ask_admin(self, method: str, path: str, body: object = None) -> tuple[int, Json]:
        path, _, query = path.partition("?")
        request = HttpRequest(
            method, f"/admin/{path}", query.encode(), {}, json.dumps(body).encode(), "here"
        )
        response = self.admin.handle(request)
        assert response is not None
        return response.status, json.loads(response.body)

    def call(self, method: str, sign_with: str = "", **values: object) -> Json:
        """Send a WebSocket API request and return its answer, the last frame."""
        values |= {"timestamp": START_MS}
        if sign_with:
            values["apiKey"] = sign_with
            texts = {k: str(v) for k, v in values.items()}
            payload = signing.socket_payload(texts)
            values["signature"] = signing.sign(SECRETS[sign_with].encode(), payload)
        self.session.on_text(json.dumps({"id": 1, "method": method, "params": values}))
        return self.received()[-1]

    def received(self) -> list[Json]:
        """Return and forget what came in frames of any size."""
        found = []
        for frame in self.frames:
            length = frame[1] & 0x7F
            found.append(json.loads(frame[2 if length < 126 else 4 if length == 126 else 10 :]))
        self.frames.clear()
        return found


@pytest.fixture
def world() -> World:
    return World()


def usdt(account: Json) -> str:
    return next(str(b["free"]) for b in account["balances"] if b["asset"] == "USDT")


def test_a_key_is_told_what_it_may_do() -> None:
    taker = KeyConfig(key="taker", secret="t", permissions=("read", "trade", "withdraw"))
    desk = AccountConfig(name="desk", keys=(*DESK.keys, taker))
    world = World(accounts=(desk,))
    secrets = SECRETS | {"taker": "t"}

    def told(key: str) -> Json:
        query = f"timestamp={START_MS}"
        query += f"&signature={signing.sign(secrets[key].encode(), query.encode())}"
        headers = {b"x-mbx-apikey": key.encode()}
        path = "/sapi/v1/account/apiRestrictions"
        request = HttpRequest("GET", path, query.encode(), headers, b"", "here")
        said: Json = json.loads(world.exchange.rest.handle(request).body)
        return said

    names = ("enableReading", "enableSpotAndMarginTrading", "enableWithdrawals")
    said = {key: tuple(told(key)[name] for name in names) for key in secrets}
    assert said == {
        "sim-key": (True, True, False),
        "desk-key": (True, True, False),
        "reader": (True, False, False),
        "taker": (True, True, True),
    }


# -- accounts --------------------------------------------------------------------------------------


def test_each_key_acts_on_its_own_account(world: World) -> None:
    mine = world.signed("POST", "order", LIMIT)
    theirs = world.signed("POST", "order", LIMIT, "desk-key")
    assert usdt(world.signed("GET", "account")) == "99500.00000000"
    assert usdt(world.signed("GET", "account", key="desk-key")) == "4500.00000000"
    assert [o["orderId"] for o in world.signed("GET", "openOrders", key="desk-key")] == [
        theirs["orderId"]
    ]
    foreign = f"symbol=BTCUSDT&orderId={mine['orderId']}"
    assert world.signed("DELETE", "order", foreign, "desk-key")["code"] == -2011
    assert world.signed("GET", "order", foreign, "desk-key")["code"] == -2013
    assert world.signed("GET", "account", key="desk-key")["uid"] == 2


def test_each_account_has_its_own_order_limit() -> None:
    world = World()
    for _ in range(3):
        world.signed("POST", "order", LIMIT, "desk-key")
    counts = world.signed("GET", "rateLimit/order")
    assert [c["count"] for c in counts] == [0, 0]
    assert world.signed("GET", "rateLimit/order", key="desk-key")[0]["count"] == 3


def test_the_first_fill_as_maker_gives_orders_back(world: World) -> None:
    best = world.exchange.venue.engine.markets["BTCUSDT"].book.bids.best_price()
    higher = text(best + 10_000_000)
    for _ in range(3):
        world.signed("POST", "order", LIMIT, "desk-key")
    sell = LIMIT.replace("BUY", "SELL").replace("50000", higher)
    first = world.signed("POST", "order", LIMIT.replace("50000", higher), "desk-key")
    assert first["status"] == "NEW"
    assert world.signed("GET", "rateLimit/order", key="desk-key")[0]["count"] == 4
    assert world.signed("POST", "order", sell.replace("0.01", "0.004"))["status"] == "FILLED"
    assert world.signed("GET", "rateLimit/order", key="desk-key")[0]["count"] == 0
    world.signed("POST", "order", LIMIT, "desk-key")
    world.signed("POST", "order", sell.replace("0.01", "0.004"))
    assert world.signed("GET", "rateLimit/order", key="desk-key")[0]["count"] == 1
    assert world.signed("GET", "rateLimit/order")[0]["count"] == 0


def test_a_key_that_may_only_read(world: World) -> None:
    assert usdt(world.signed("GET", "account", key="reader")) == "5000.00000000"
    for method, path, query in (("POST", "order", LIMIT), ("DELETE", "openOrders", "symbol=X")):
        assert world.signed(method, path, query, "reader")["code"] == -2015
    assert world.call("order.place", "reader")["error"]["code"] == -2015
    assert world.call("account.status", "reader")["status"] == 200


def test_users_hear_of_their_own_orders_only(world: World) -> None:
    first = world.call("userDataStream.subscribe.signature", "sim-key")
    second = world.call("userDataStream.subscribe.signature", "desk-key")
    assert [a["result"]["subscriptionId"] for a in (first, second)] == [0, 1]
    world.signed("POST", "order", LIMIT, "desk-key")
    events = world.received()
    assert [e["subscriptionId"] for e in events] == [1, 1]
    assert events[0]["event"]["e"] == "executionReport"
    assert world.call("session.subscriptions")["result"] == [
        {"subscriptionId": 0}, {"subscriptionId": 1},
    ]  # fmt: skip


def test_an_ended_subscription_says_so(world: World) -> None:
    world.call("userDataStream.subscribe.signature", "sim-key")
    world.session.on_text('{"id":9,"method":"userDataStream.unsubscribe","params":{}}')
    ended, answer = world.received()
    assert ended["event"] == {"e": "eventStreamTerminated", "E": START_MS}
    assert answer["status"] == 200
    world.signed("POST", "order", LIMIT)
    assert world.received() == []


def test_every_account_continues_from_its_own_journal(tmp_path: Path) -> None:
    first = World(state_dir=tmp_path)
    stop = "symbol=BTCUSDT&side=SELL&type=STOP_LOSS_LIMIT&timeInForce=GTC&quantity=0.02"
    first.signed("POST", "order", f"{stop}&price=40000&stopPrice=41000&newClientOrderId=stop")
    resting = first.signed("POST", "order", LIMIT, "desk-key")
    amend = f"symbol=BTCUSDT&orderId={resting['orderId']}&newQty=0.005&newClientOrderId=less"
    first.signed("PUT", "order/amend/keepPriority", amend, "desk-key")
    first.ask_admin("POST", "transfer", {"account": "desk", "asset": "USDT", "amount": "-7.5"})
    first.signed("POST", "order", MARKET, "desk-key")
    books = [first.ask_admin("GET", f"ledger?account={a}")[1] for a in ("user", "desk")]
    first.exchange.close()
    second = World(state_dir=tmp_path)
    again = [second.ask_admin("GET", f"ledger?account={a}")[1] for a in ("user", "desk")]
    assert again == books
    assert books[1]["transfers"][0]["amount"] == "-7.50000000"
    market = second.exchange.venue.engine.markets["BTCUSDT"]
    (waiting,) = market.stops.waiting.values()
    assert waiting.client_order_id == "stop"
    less = second.signed("GET", "order", "symbol=BTCUSDT&origClientOrderId=less", "desk-key")
    assert (less["orderId"], less["origQty"]) == (resting["orderId"], "0.00500000")
    old = f"symbol=BTCUSDT&origClientOrderId={resting['clientOrderId']}"
    assert second.signed("GET", "order", old, "desk-key")["code"] == -2013
    second.exchange.close()
    with pytest.raises(JournalError, match="account 'desk', which --accounts leaves out"):
        World(accounts=(), state_dir=tmp_path)


def test_an_exchange_without_further_accounts_keeps_its_state_as_ever(tmp_path: Path) -> None:
    world = World(accounts=(), state_dir=tmp_path)
    world.signed("POST", "order", LIMIT)
    world.exchange.close()
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["counters.json", "futures.jsonl", "journal.jsonl"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "truncated"),
        ('{"accounts":[{"name":"Desk"}]}', "name"),
        ('{"accounts":[{"name":"a","keys":[{"key":"k"}]}]}', "either a secret or a public_key"),
        ('{"accounts":[{"name":"a"},{"name":"a"}]}', "account 'a' is there twice"),
        ('{"accounts":[{"name":"futures"}]}', "account name 'futures' is taken"),
        ('{"accounts":[{"name":"a","balance":{}}]}', "unknown field"),
        ('{"accounts":[{"name":"a","balances":{"USDT":"-1"}}]}', "not a plain decimal number"),
    ],
)
def test_a_wrong_accounts_file_is_refused_by_name(
    tmp_path: Path, content: str, complaint: str
) -> None:
    path = tmp_path / "accounts.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=complaint) as refused:
        read_accounts(path)
    assert str(path) in str(refused.value)


# -- Ed25519 ---------------------------------------------------------------------------------------


def an_ed25519_world() -> tuple[World, Any]:
    """Return a world whose user `desk` has an Ed25519 key, and a function that signs with it."""
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    pem = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    key = ed25519.Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(pem.Encoding.PEM, pem.PublicFormat.SubjectPublicKeyInfo)
    desk = AccountConfig(
        name="desk",
        balances={"USDT": "5000"},
        keys=(KeyConfig(key="ed-key", public_key=public.decode()),),
    )

    def sign(payload: bytes) -> str:
        return base64.b64encode(key.sign(payload)).decode()

    return World(accounts=(desk,)), sign


def test_rest_takes_ed25519_signatures_in_base64_where_case_matters() -> None:
    world, sign = an_ed25519_world()
    query = f"timestamp={START_MS}"
    good = sign(query.encode())
    assert "balances" in world.rest(
        "GET", "account", f"{query}&signature={quote(good, safe='')}", "ed-key"
    )
    for wrong in (good.swapcase(), good[:-4], "%%%", sign(b"another")):
        asked = f"{query}&signature={quote(wrong, safe='')}"
        assert world.rest("GET", "account", asked, "ed-key")["code"] == -1022


def test_a_session_that_is_logged_on_needs_no_more_signatures() -> None:
    world, sign = an_ed25519_world()
    assert world.call("userDataStream.subscribe")["error"]["code"] == -2015
    values = {"apiKey": "ed-key", "timestamp": str(START_MS)}
    signature = sign(signing.socket_payload(values))
    on = world.call("session.logon", apiKey="ed-key", signature=signature)["result"]
    assert (on["apiKey"], on["authorizedSince"]) == ("ed-key", START_MS)
    assert world.call("userDataStream.subscribe")["result"] == {"subscriptionId": 0}
    terms = dict(pair.split("=") for pair in LIMIT.split("&"))
    placed = world.call("order.place", **terms)
    assert placed["result"]["status"] == "NEW"
    assert usdt(world.call("account.status")["result"]) == "4500.00000000"
    # Another key may be used for one request.
    assert usdt(world.call("account.status", "sim-key")["result"]) == "100000.00000000"
    late = {"id": 1, "method": "account.status", "params": {"timestamp": START_MS - 6_000}}
    world.session.on_text(json.dumps(late))
    assert world.received()[-1]["error"]["code"] == -1021
    world.session.on_text('{"id":1,"method":"session.logout"}')
    ended, off = world.received()
    assert ended["event"]["e"] == "eventStreamTerminated"
    assert off["result"]["apiKey"] is None
    assert world.call("account.status")["error"]["code"] == -1102


def test_hmac_keys_cannot_log_on(world: World) -> None:
    assert world.call("session.logon", "sim-key")["error"]["code"] == -4056


@pytest.mark.parametrize("public_key", ["nonsense", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END"])
def test_a_public_key_that_is_none_is_refused_by_name(public_key: str) -> None:
    pytest.importorskip("cryptography")
    desk = AccountConfig(name="desk", keys=(KeyConfig(key="ed-key", public_key=public_key),))
    with pytest.raises(BadKeyError, match="'ed-key'"):
        World(accounts=(desk,))


# -- by hand ---------------------------------------------------------------------------------------


def test_an_order_by_hand_is_the_users_under_the_venue_s_name(world: World) -> None:
    world.call("userDataStream.subscribe.signature", "desk-key")
    order = {"account": "desk", "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT"}
    status, placed = world.ask_admin("POST", "orders", order | {"quantity": 0.01, "price": "50000"})
    assert (status, placed["status"]) == (200, "NEW")
    assert placed["clientOrderId"].startswith("web_")
    assert world.received()[0]["event"]["c"] == placed["clientOrderId"]
    which = {"account": "desk", "symbol": "BTCUSDT", "orderId": placed["orderId"]}
    assert world.ask_admin("DELETE", "orders", which)[1]["status"] == "CANCELED"
    status, refused = world.ask_admin("POST", "orders", order | {"quantity": "9", "price": "60000"})
    assert (status, refused["code"]) == (400, -2010)
    assert "there is no 'qty'" in world.ask_admin("POST", "orders", order | {"qty": 1})[1]["error"]


def test_a_transfer_is_told_and_kept(world: World) -> None:
    world.call("userDataStream.subscribe.signature", "sim-key")
    assert world.ask_admin("POST", "transfer", {"asset": "USDT", "amount": "-100.5"})[0] == 200
    update, position = (f["event"] for f in world.received())
    assert (update["e"], update["a"], update["d"]) == ("balanceUpdate", "USDT", "-100.50000000")
    assert position["B"] == [{"a": "USDT", "f": "99899.50000000", "l": "0.00000000"}]
    ledger = world.ask_admin("GET", "ledger")[1]
    assert [t["amount"] for t in ledger["transfers"]] == ["-100.50000000"]
    assert ledger["balances"]["USDT"]["total"] == "99899.50000000"
    for wrong, complaint in (
        ({"asset": "USDT", "amount": "-1000000"}, "only 99899.50000000 USDT are free"),
        ({"asset": "USDT", "amount": "much"}, "not a plain decimal number"),
        ({"asset": "usdt", "amount": "1"}, "not a name like USDT"),
        ({"asset": "USDT", "amount": "0"}, "must not be 0"),
        ({"account": "nobody", "asset": "USDT", "amount": "1"}, "none of user, desk"),
        ({"asset": "USDT"}, "amount"),
    ):
        status, refused = world.ask_admin("POST", "transfer", wrong)
        assert status == 400
        assert complaint in refused["error"]
    assert world.ask_admin("GET", "ledger?account=nobody")[0] == 404


def test_fees_in_bnb_are_told_everywhere() -> None:
    world = World(fee_asset="BNB")
    world.ask_admin("POST", "transfer", {"asset": "BNB", "amount": "1"})
    world.call("userDataStream.subscribe.signature", "sim-key")
    placed = world.signed("POST", "order", MARKET)
    # A thousandth of some 600 USDT, a quarter less, at 600 USDT a BNB.
    assert {f["commissionAsset"] for f in placed["fills"]} == {"BNB"}
    fees = sum(Decimal(f["commission"]) for f in placed["fills"])
    assert Decimal("0.00074") < fees < Decimal("0.00076")
    *_, position = (f["event"] for f in world.received())
    assert {b["a"] for b in position["B"]} == {"BTC", "USDT", "BNB"}
    ledger = world.ask_admin("GET", "ledger")[1]
    assert ledger["fees"] == {"BNB": str(fees)}
    assert ledger["balances"]["BNB"]["total"] == str(1 - fees)
    assert world.signed("GET", "account/commission", "symbol=BTCUSDT")["discount"] == {
        "enabledForAccount": True, "enabledForSymbol": True, "discountAsset": "BNB",
        "discount": "0.75000000",
    }  # fmt: skip


# -- the venue itself ------------------------------------------------------------------------------


def test_a_halted_symbol_takes_cancels_only_and_says_so(world: World) -> None:
    resting = world.signed("POST", "order", LIMIT)
    halt = {"symbol": "BTCUSDT", "status": "HALT"}
    assert world.ask_admin("POST", "symbol", halt) == (200, halt)
    refused = world.signed("POST", "order", LIMIT)
    assert (refused["code"], refused["msg"]) == (-1013, "Market is closed.")
    assert "orderId" in world.signed("POST", "order", MARKET.replace("BTC", "ETH"))
    (shown,) = world.rest("GET", "exchangeInfo", "symbol=BTCUSDT", "")["symbols"]
    assert shown["status"] == "HALT"
    which = f"symbol=BTCUSDT&orderId={resting['orderId']}"
    assert world.signed("DELETE", "order", which)["status"] == "CANCELED"
    world.ask_admin("POST", "symbol", halt | {"status": "TRADING"})
    assert world.signed("POST", "order", LIMIT)["status"] == "NEW"
    assert world.ask_admin("POST", "symbol", halt | {"symbol": "X"})[0] == 400
    assert world.ask_admin("POST", "symbol", halt | {"status": "OPEN"})[0] == 400


def test_a_revoked_key_is_refused_and_its_streams_end(world: World) -> None:
    world.call("userDataStream.subscribe.signature", "desk-key")
    assert world.ask_admin("DELETE", "keys", {"key": "desk-key"})[0] == 200
    (ended,) = world.received()
    assert ended["event"]["e"] == "eventStreamTerminated"
    assert world.signed("GET", "account", key="desk-key")["code"] == -2015
    assert world.ask_admin("DELETE", "keys", {"key": "desk-key"})[0] == 400


def test_a_session_logged_on_with_a_revoked_key_is_told_at_its_next_request() -> None:
    world, sign = an_ed25519_world()
    values = {"apiKey": "ed-key", "timestamp": str(START_MS)}
    signature = sign(signing.socket_payload(values))
    assert world.call("session.logon", apiKey="ed-key", signature=signature)["status"] == 200
    world.ask_admin("DELETE", "keys", {"key": "ed-key"})
    world.session.on_text(
        f'{{"id":4,"method":"account.status","params":{{"timestamp":{START_MS}}}}}'
    )
    told, refused = world.received()
    assert (told["id"], told["status"], told["error"]["code"]) == (None, 401, -2015)
    assert (refused["id"], refused["error"]["code"]) == (4, -1102)


def test_a_jolt_moves_the_market_and_needs_one_that_moves() -> None:
    now_ms = [START_MS]
    config = ExchangeConfig(listings=DEFAULT_LISTINGS, balances=DEFAULT_BALANCES)
    exchange = Exchange(config, lambda: now_ms[0])
    before = exchange.venue.engine.markets["BTCUSDT"].book.bids.best_price()
    House(exchange).jolt(b'{"symbol":"BTCUSDT","bps":-800}')
    for _ in range(200):
        now_ms[0] += 10
        exchange.step()
    after = exchange.venue.engine.markets["BTCUSDT"].book.bids.best_price()
    assert 0.90 < after / before < 0.94
    assert World().ask_admin("POST", "jolt", {"symbol": "BTCUSDT", "bps": 5})[0] == 400
