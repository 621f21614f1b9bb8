"""Signatures: the vectors of Binance's documentation, and keys told apart by their secrets."""

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tickbus.budget import WeightBudget
from tickbus.bus import MemoryBus
from tickbus.clock import ManualClock
from tickbus.config import ConfigError
from tickbus_execution import wire
from tickbus_execution.binance import BinanceSpot
from tickbus_execution.calls import Calls, VenueRefused
from tickbus_execution.rest import Rest
from tickbus_execution.signing import HmacSigner, signer
from tickbus_execution.venue import Request
from tickbus_execution.wire import Answer, Ask, Lane

HMAC_SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"


@pytest.mark.parametrize(
    ("secret", "params", "signature"),
    [
        (
            HMAC_SECRET,
            "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1"
            "&recvWindow=5000&timestamp=1499827319559",
            "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
        ),
        (
            "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9",
            "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC"
            "&recvWindow=5000&timestamp=1591702613943",
            "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9",
        ),
    ],
)
def test_signature_is_that_of_the_documentation(secret: str, params: str, signature: str) -> None:
    key = signer("k", secret)
    assert isinstance(key, HmacSigner)
    pairs = dict(pair.split("=") for pair in params.split("&"))
    assert wire.query(pairs) == params, "in the order given"
    assert key.sign(wire.query(pairs).encode()) == signature


def test_websocket_payload_is_sorted_and_not_percent_encoded() -> None:
    assert wire.sorted_payload({"b": 2, "a": "ü x", "c": False}) == "a=ü x&b=2&c=false".encode()
    assert wire.query({"b": "ü x"}) == "b=%C3%BC%20x"


def rest_url(secret: str) -> str:
    rest = Rest("http://venue/", signer("key", secret), 1, 500, lambda: 123)
    url = rest.url(Ask("", "POST", "/order", {"symbol": "X", "reduceOnly": True}))
    asyncio.run(rest.close())
    return url


def test_rest_signature_comes_last_over_all_that_is_before_it() -> None:
    address, _, signature = rest_url("secret").partition("&signature=")
    assert address == "http://venue/order?symbol=X&reduceOnly=true&recvWindow=500&timestamp=123"
    assert signature == HmacSigner("key", "secret").sign(urlsplit(address).query.encode())


def a_call(secret: str, *, logged_on: bool) -> dict[str, object]:
    async def text() -> str:
        clock = ManualClock(123_000_000)
        calls = Calls(
            BinanceSpot(), signer("key", secret), "http://venue", timeout_s=1, recv_window_ms=500,
            clock=clock, budget=WeightBudget(MemoryBus(), clock, "x"),
            spawn=lambda coroutine, _: coroutine.close(),
            on_refusal=lambda *_: None, on_usage=lambda _: None, may_act=lambda: True,
        )  # fmt: skip
        calls.logged_on = logged_on
        sent = calls.text(7, Ask("order.place", "", "", {"symbol": "X"}))
        await calls.close()
        return sent

    found: dict[str, object] = json.loads(asyncio.run(text()))
    return found


def test_request_carries_key_time_and_signature() -> None:
    sent = a_call("secret", logged_on=False)
    params = sent["params"]
    assert isinstance(params, dict)
    assert (sent["id"], sent["method"]) == (7, "order.place")
    signature = params.pop("signature")
    assert params == {"symbol": "X", "apiKey": "key", "timestamp": 123, "recvWindow": 500}
    assert signature == HmacSigner("key", "secret").sign(wire.sorted_payload(params))


def test_session_that_is_logged_on_signs_no_request() -> None:
    sent = a_call("secret", logged_on=True)
    assert sent["params"] == {"symbol": "X", "timestamp": 123, "recvWindow": 500}


# -- Ed25519 ---------------------------------------------------------------------------------------


def test_ed25519_key_is_known_by_its_pem_and_by_its_seed() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    raw = private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    secrets = (pem, pem.replace("\n", "\\n"), base64.b64encode(raw).decode())
    for secret in secrets:
        key = signer("k", secret)
        assert key.can_log_on
        private.public_key().verify(base64.b64decode(key.sign(b"payload")), b"payload")
        address, _, signature = rest_url(secret).partition("&signature=")
        assert not set(signature) & set("+/="), "percent-encoded"
        (decoded,) = parse_qs(f"s={signature}")["s"]
        payload = urlsplit(address).query.encode()
        private.public_key().verify(base64.b64decode(decoded), payload)


def test_key_that_cannot_be_read_is_refused_without_being_shown() -> None:
    for secret in ("-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----", "c2hvcnQ="):
        with pytest.raises(ConfigError, match="no Ed25519 private key") as caught:
            signer("k", secret, "ed25519")
        assert "nonsense" not in str(caught.value)
        assert "c2hvcnQ" not in str(caught.value)


def test_key_of_another_kind_is_named() -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    private = rsa.generate_private_key(65537, 2048)
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(ConfigError, match="RSAPrivateKey"):
        signer("k", pem)


def test_configured_type_wins_over_what_the_secret_looks_like() -> None:
    seed = base64.b64encode(bytes(32)).decode()
    assert isinstance(signer("k", seed, "hmac"), HmacSigner)
    assert isinstance(signer("k", HMAC_SECRET), HmacSigner)


LATE = Answer(error={"code": -1021, "msg": "Timestamp for this request is outside"}, status=400)


def calls_to(
    url: str, tasks: list[asyncio.Task[None]], *, timeout_s: float = 1,
    may_act: Callable[[], bool] = lambda: True,
) -> Calls:  # fmt: skip
    """What asks the venue; `tasks` gets what it does in the background."""
    clock = ManualClock(0)
    return Calls(
        BinanceSpot(), signer("key", "secret"), url, timeout_s=timeout_s, recv_window_ms=500,
        clock=clock, budget=WeightBudget(MemoryBus(), clock, "x"),
        spawn=lambda coroutine, _: tasks.append(asyncio.create_task(coroutine)),
        on_refusal=lambda *_: None, on_usage=lambda _: None, may_act=may_act,
    )  # fmt: skip


@pytest.mark.parametrize("kind", list(Request))
async def test_without_the_lease_nothing_but_questions_goes_over_rest(kind: Request) -> None:
    connections: list[object] = []

    def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    tasks: list[asyncio.Task[None]] = []
    answers: list[Answer | None] = []
    calls = calls_to(url, tasks, timeout_s=60, may_act=lambda: False)
    calls.send(kind, Ask("", "POST", "/order", {}, Lane.NEW), answers.append)
    await asyncio.gather(*tasks)
    assert answers == [None], "nothing is said of it: another process may have sent it"
    assert bool(connections) is (kind is Request.QUERY)
    await calls.close()
    server.close()


async def test_request_that_goes_once_more_leaves_once_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Until when an order may arrive is counted from when it left last."""
    tasks: list[asyncio.Task[None]] = []
    happened: list[str] = []
    calls = calls_to("http://venue", tasks)

    async def measure() -> None:
        happened.append("measured")

    class Stream:
        def send(self, text: str) -> None:
            happened.append(f"sent {json.loads(text)['id']}")

    stream: Any = Stream()
    calls.stream = stream
    monkeypatch.setattr(calls, "measure_clock", measure)
    calls.send(
        Request.SUBMIT, Ask("order.place", "", "", {}), lambda _: happened.append("answered"),
        leaves=lambda: happened.append("leaves"),
    )  # fmt: skip
    calls.answered(1, LATE)
    await asyncio.gather(*tasks)
    calls.answered(2, LATE)
    assert happened == ["leaves", "sent 1", "measured", "leaves", "sent 2", "answered"]
    await calls.close()


async def test_the_question_for_the_venue_s_clock_does_not_wait_for_its_own_answer() -> None:
    tasks: list[asyncio.Task[None]] = []
    calls = calls_to("http://venue", tasks)

    class Stream:
        def send(self, text: str) -> None:
            asyncio.get_running_loop().call_soon(calls.answered, json.loads(text)["id"], LATE)

    stream: Any = Stream()
    calls.stream = stream
    async with asyncio.timeout(30):
        await calls.measure_clock()  # refused, as no venue does: the clock stays as it was
        with pytest.raises(VenueRefused):
            await calls.call(Ask("account.status", "", "", {}))
        await asyncio.gather(*tasks)
    assert calls.offset_ms == 0
    await calls.close()
