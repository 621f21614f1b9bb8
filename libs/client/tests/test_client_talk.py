"""When a call is tried again, after how long, and when what was heard stands."""

from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickbus_client import ApiError, Reply, Retry, Unreachable
from tickbus_client.call import Call
from tickbus_client.calls import books, orders, risk
from tickbus_client.credentials import Bearer
from tickbus_client.talk import Heard, Pause, Send, Silence, Talk

T = TypeVar("T")
EQUITY = books.equity()
GOOD = Heard(200, {}, b'{"currency":"USDT","points":[]}')
BUSY = Heard(503, {"retry-after": "1"}, b'{"code":"LEDGER_UNAVAILABLE","detail":"x"}')
GONE = Silence("refused", sent=False)
LOST = Silence("timed out", sent=True)


def play(call: Call[T], *heard: Heard | Silence, key: str = "") -> tuple[Reply[T], list[float]]:
    """The reply when this is heard in turn, and the pauses in between."""
    pauses: list[float] = []
    talk = Talk("http://desk", Bearer(key), Retry(), 10.0, lambda: 1.0).about(call)
    left = list(heard)
    step = next(talk)
    while True:
        answer: Heard | Silence | None = None
        if isinstance(step, Pause):
            pauses.append(step.seconds)
        else:
            answer = left.pop(0)
        try:
            step = talk.send(answer)
        except StopIteration as stop:
            assert not left, "not everything was asked for"
            reply: Reply[T] = stop.value
            return reply, pauses


def first(call: Call[T], key: str = "") -> Send:
    step = next(Talk("http://desk", Bearer(key), Retry(), 10.0).about(call))
    assert isinstance(step, Send)
    return step


def test_an_answer_is_returned_at_once() -> None:
    reply, pauses = play(EQUITY, GOOD)
    assert (reply.status, reply.data.currency, pauses) == (200, "USDT", [])
    assert reply.content == GOOD.content


@pytest.mark.parametrize("trouble", [BUSY, GONE, LOST, Heard(502, {}, b""), Heard(429, {}, b"")])
def test_what_only_reads_is_tried_again(trouble: Heard | Silence) -> None:
    reply, pauses = play(EQUITY, trouble, trouble, GOOD)
    assert reply.data.currency == "USDT"
    assert len(pauses) == 2


def test_the_gateway_says_how_long_to_wait_and_pauses_grow() -> None:
    assert play(EQUITY, BUSY, GONE, GOOD)[1] == [1.0, 0.5]


def test_after_the_last_attempt_what_was_heard_stands() -> None:
    with pytest.raises(ApiError) as refused:
        play(EQUITY, BUSY, BUSY, BUSY)
    assert refused.value.code == "LEDGER_UNAVAILABLE"
    with pytest.raises(Unreachable) as silent:
        play(EQUITY, LOST, GONE, LOST)
    assert not silent.value.maybe_done, "reading does nothing"


def test_a_wait_that_is_too_long_is_for_the_caller() -> None:
    with pytest.raises(ApiError) as refused:
        play(EQUITY, Heard(429, {"retry-after": "60"}, b'{"code":"RATE","detail":"x"}'))
    assert refused.value.retry_after_s == 60.0


@pytest.mark.parametrize("call", [risk.kill("x"), orders.cancel_all(), orders.replace("a-1")])
def test_what_acts_is_sent_once(call: Call[object]) -> None:
    with pytest.raises(Unreachable) as lost:
        play(call, LOST)
    assert lost.value.maybe_done
    assert "not known" in str(lost.value)
    with pytest.raises(Unreachable) as gone:
        play(call, GONE)
    assert not gone.value.maybe_done
    with pytest.raises(ApiError):
        play(call, BUSY)


def test_an_order_is_repeated_under_one_key() -> None:
    call = orders.place("BTCUSDT", "BUY", 1)
    talk = Talk("http://desk", Bearer(""), Retry(), 10.0).about(call)
    sent = next(talk)
    assert isinstance(talk.send(LOST), Pause)
    again = talk.send(None)
    assert isinstance(sent, Send)
    assert again == sent
    assert sent.headers["Idempotency-Key"]


def test_a_refused_order_is_not_repeated() -> None:
    problem = Heard(422, {}, b'{"code":"NOTIONAL_ABOVE_MAX","detail":"x"}')
    with pytest.raises(ApiError):
        play(orders.place("BTCUSDT", "BUY", 1), problem)


def test_each_call_waits_as_long_as_it_needs() -> None:
    assert first(EQUITY).timeout_s == 10.0
    assert first(risk.kill()).timeout_s > 120.0


def test_who_asks_is_said_in_one_header_and_nowhere_else() -> None:
    sent = first(EQUITY, key="tbk_a_secret")
    assert sent.headers["Authorization"] == "Bearer tbk_a_secret"
    assert "secret" not in repr(Bearer("tbk_a_secret"))
    assert "Authorization" not in first(EQUITY).headers


@given(tried=st.integers(1, 1000), chance=st.floats(0, 1))
def test_a_pause_is_never_nothing_and_never_too_long(tried: int, chance: float) -> None:
    retry = Retry(first_s=0.25, max_s=5.0)
    assert 0.125 <= retry.pause_s(tried, chance) <= 5.0
