"""What a client of the stream makes of what it hears, and what it says."""

from typing import Any

import msgspec
import pytest

from tickbus_client import StreamFailed, Unintelligible, Update
from tickbus_client.answers.books import Portfolio
from tickbus_client.answers.streams import OrdersTold
from tickbus_client.subscription import Subscription

HELLO = {"kind": "hello", "run": "r", "version": "1", "at": None}


def say(stream: Subscription, **frame: Any) -> list[Update]:
    return stream.heard(msgspec.json.encode(frame))


def tell(stream: Subscription, topic: str, seq: int, kind: str = "delta") -> list[str]:
    return [each.kind for each in say(stream, topic=topic, seq=seq, kind=kind, data={"n": seq})]


def sent(stream: Subscription) -> list[Any]:
    return [msgspec.json.decode(text) for text in stream.to_send()]


def listening(*topics: str) -> Subscription:
    stream = Subscription(topics)
    stream.opened()
    say(stream, **HELLO)
    stream.to_send()
    say(stream, kind="subscribed", topics=list(topics))
    return stream


def test_it_asks_once_it_was_greeted() -> None:
    stream = Subscription(["orders", "prices"])
    stream.opened()
    assert sent(stream) == []
    say(stream, **HELLO)
    assert sent(stream) == [{"op": "subscribe", "topics": ["orders", "prices"]}]
    assert sent(stream) == [], "each is sent once"


def test_updates_come_as_they_were_said() -> None:
    stream = listening("orders")
    (update,) = say(stream, topic="orders", seq=7, kind="snapshot", data={"orders": []})
    assert (update.topic, update.kind, update.seq) == ("orders", "snapshot", 7)
    assert update.read(OrdersTold) == OrdersTold(orders=())
    with pytest.raises(Unintelligible, match="orders: "):
        update.read(Portfolio)
    assert tell(stream, "orders", 8) == ["delta"]
    assert say(stream, kind="heartbeat", at=None) == []
    assert say(stream, kind="something-new", more=1) == []


def test_a_new_connection_goes_on_behind_the_last_thing_heard() -> None:
    stream = listening("orders", "prices")
    tell(stream, "orders", 7, "snapshot")
    tell(stream, "orders", 8)
    stream.subscribe(["fills"])
    stream.opened()
    say(stream, **HELLO)
    assert sent(stream) == [
        {"op": "subscribe", "topics": ["orders", "prices", "fills"], "resume": {"orders": 8}}
    ]
    assert tell(stream, "orders", 8) == [], "we have that"
    assert tell(stream, "orders", 9) == ["delta"]
    assert tell(stream, "orders", 50, "gap") == ["gap"]
    assert tell(stream, "orders", 50, "snapshot") == ["snapshot"]
    assert tell(stream, "orders", 51) == ["delta"]


def test_a_hole_is_told_and_closed_by_a_snapshot() -> None:
    stream = listening("orders")
    tell(stream, "orders", 7, "snapshot")
    (gap,) = say(stream, topic="orders", seq=9, kind="delta", data={})
    assert (gap.kind, gap.data) == ("gap", {"after": 7})
    assert sent(stream) == [{"op": "subscribe", "topics": ["orders"]}]
    assert tell(stream, "orders", 10) == [], "what follows makes no sense without it"
    assert tell(stream, "orders", 10, "snapshot") == ["snapshot"]


def test_topics_come_and_go() -> None:
    stream = listening("orders")
    stream.subscribe(["orders", "prices"])
    stream.unsubscribe(["orders", "never"])
    assert sent(stream) == [
        {"op": "subscribe", "topics": ["prices"]},
        {"op": "unsubscribe", "topics": ["orders"]},
    ]
    assert tell(stream, "orders", 5, "snapshot") == [], "it was said before that was heard"
    say(stream, kind="subscribed", topics=["orders", "prices"])
    say(stream, kind="subscribed", topics=["prices"])
    assert stream.topics == ("prices",)


def test_a_topic_that_is_refused_ends_the_stream() -> None:
    stream = Subscription(["orders", "odrers"])
    stream.opened()
    say(stream, **HELLO)
    stream.to_send()
    refusal = {"code": "UNKNOWN_TOPIC", "detail": "no such topic", "remedy": "did you mean orders?"}
    assert say(stream, kind="error", topic="odrers", **refusal) == []
    with pytest.raises(StreamFailed, match="no such topic") as failed:
        say(stream, kind="subscribed", topics=["orders"])
    assert (failed.value.code, failed.value.remedy) == ("UNKNOWN_TOPIC", "did you mean orders?")


def test_a_topic_in_trouble_goes_on() -> None:
    stream = Subscription(["portfolio"])
    stream.opened()
    say(stream, **HELLO)
    trouble = {"code": "LEDGER_UNAVAILABLE", "detail": "x", "remedy": "wait"}
    assert say(stream, kind="error", topic="portfolio", **trouble) == []
    (first,) = say(stream, kind="subscribed", topics=["portfolio"])
    (later,) = say(stream, kind="error", topic="portfolio", **trouble)
    assert first == later
    assert (first.kind, first.data) == ("error", trouble)
    assert tell(stream, "portfolio", 3, "snapshot") == ["snapshot"]


@pytest.mark.parametrize("text", ["", "[]", "{}", "\x00", '{"kind":3}'])
def test_what_is_no_frame_ends_the_stream(text: str) -> None:
    with pytest.raises(StreamFailed, match="something else than documented"):
        listening("orders").heard(text)


def test_an_error_of_the_connection_ends_the_stream() -> None:
    with pytest.raises(StreamFailed, match="not a command"):
        say(listening("orders"), kind="error", code="INVALID_COMMAND", detail="not a command")
