"""What is checked before any request: signature, time window, parameters, rate limits."""

import pytest

from tickbus_exchange.config import KeyConfig, RateLimits
from tickbus_exchange.protocol import params, signing
from tickbus_exchange.protocol.errors import ApiError
from tickbus_exchange.protocol.keys import ApiKey
from tickbus_exchange.protocol.limits import WARNINGS_MAX, Limiter

START_MS = 1_800_000_000_000

SPOT = (
    b"NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j",
    b"symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000"
    b"&timestamp=1499827319559",
    "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
)
FUTURES = (
    b"2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9",
    b"symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000"
    b"&timestamp=1591702613943",
    "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9",
)


@pytest.mark.parametrize(("secret", "payload", "signature"), [SPOT, FUTURES])
def test_documented_signatures(secret: bytes, payload: bytes, signature: str) -> None:
    assert signing.sign(secret, payload) == signature
    key = ApiKey("k", "user", KeyConfig(key="k", secret=secret.decode()))
    key.verify(payload, signature.upper())


def test_query_and_body_are_signed_as_one_text_without_a_separator() -> None:
    query, body = SPOT[1].split(b"&quantity")
    body = b"quantity" + body
    assert signing.rest_payload(query, body + b"&signature=abc") == query + body
    assert signing.rest_payload(b"signature=abc&" + query, body) == query + body


def test_socket_payload_is_sorted_and_not_percent_encoded() -> None:
    values = {"symbol": "BTC/X", "apiKey": "k", "signature": "s", "timestamp": "1"}
    assert signing.socket_payload(values) == b"apiKey=k&symbol=BTC/X&timestamp=1"


@pytest.mark.parametrize(
    ("timestamp", "window", "code"),
    [
        (START_MS, None, None),
        (START_MS - 5_000, None, None),
        (START_MS - 5_001, None, -1021),
        (START_MS + 999, None, None),
        (START_MS + 1_000, None, -1021),
        (START_MS - 1_001, "1000.5", -1021),
        (START_MS - 1_000, "1000.5", None),
        (START_MS * 1_000, None, None),
        (START_MS, "60001", -1131),
        (START_MS, "-1", -1100),
        ("soon", None, -1100),
        ("", None, -1102),
    ],
)
def test_receive_window(timestamp: object, window: str | None, code: int | None) -> None:
    values = {"timestamp": str(timestamp)} | ({"recvWindow": window} if window else {})
    if code is None:
        signing.check_window(values, START_MS)
    else:
        with pytest.raises(ApiError) as caught:
            signing.check_window(values, START_MS)
        assert caught.value.code == code


def test_too_many_parameters_are_refused() -> None:
    with pytest.raises(ApiError):
        params.parse_pairs("&".join(f"a{i}=1" for i in range(100)).encode())


def test_weight_above_the_limit_is_429_then_a_ban_then_forgotten() -> None:
    limiter = Limiter(RateLimits(weight_per_minute_max=10))
    assert limiter.spend("a", 10, START_MS) == 10
    with pytest.raises(ApiError) as caught:
        limiter.spend("a", 1, START_MS)
    assert (caught.value.status, caught.value.code) == (429, -1003)
    assert caught.value.retry_after_s is not None
    assert 0 < caught.value.retry_after_s <= 60
    assert limiter.spend("b", 10, START_MS) == 10
    for _ in range(WARNINGS_MAX):
        with pytest.raises(ApiError) as caught:
            limiter.spend("a", 1, START_MS)
    assert caught.value.status == 418
    with pytest.raises(ApiError):
        limiter.spend("a", 0, START_MS + 61_000)
    assert limiter.spend("a", 1, START_MS + 180_000) == 1
