"""Virtual time: order, latency and timers are exact and repeatable."""

from collections.abc import Sequence
from typing import Any

import pytest

from tickbus.events import BookTop, Event, Quote, SetTimer, TimerFired
from tickbus.simulation import Node, Simulation, SimulationStuck


def a_quote(ts: int) -> Quote:
    return Quote(ts, ts, "sim", "BTC-USDT", 100.0, 1.0, 101.0, 1.0, ts)


class Book:
    """Turns each quote into a top of book."""

    def handle(self, event: Any, /) -> Sequence[Event]:
        if not isinstance(event, Quote):
            return ()
        q = event
        return (
            BookTop(q.ts_event, q.ts_recv, q.venue, q.instrument_id, q.bid, 1.0, q.ask, 1.0, 1, 1),
        )


class Recorder:
    """Remembers what it was given."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def handle(self, event: Any, /) -> Sequence[Event]:
        self.seen.append(event)
        return ()


class Alarm:
    """Sets the same timer at each quote: only the last one may fire."""

    def __init__(self) -> None:
        self.fired: list[int] = []

    def handle(self, event: Any, /) -> Sequence[Event]:
        if isinstance(event, Quote):
            return (SetTimer(event.ts_event, event.ts_recv, "alarm", event.ts_recv + 50),)
        if isinstance(event, TimerFired):
            self.fired.append(event.ts_recv)
        return ()


def test_output_arrives_after_the_latency_of_its_receiver() -> None:
    strategy = Recorder()
    sim = Simulation(
        [
            Node(name="book", core=Book(), accepts=(Quote,)),
            Node(name="strategy", core=strategy, accepts=(BookTop,), latency_ns=10),
        ]
    )
    sim.feed("book", a_quote(100), 100)
    sim.advance(109)
    assert strategy.seen == []
    sim.advance(110)
    assert [type(event) for event in strategy.seen] == [BookTop]


def test_timer_set_again_fires_once_at_the_later_time() -> None:
    alarm = Alarm()
    sim = Simulation([Node(name="alarm", core=alarm, accepts=())])
    sim.run([(0, "alarm", a_quote(0)), (40, "alarm", a_quote(40))])
    sim.drain(1_000)
    assert alarm.fired == [90]


def test_two_runs_are_equal() -> None:
    def run() -> list[Any]:
        seen: list[Any] = []
        sim = Simulation(
            [
                Node(name="book", core=Book(), accepts=()),
                Node(name="a", core=Recorder(), accepts=(BookTop,), latency_ns=3),
                Node(name="b", core=Recorder(), accepts=(BookTop,)),
            ],
            [lambda origin, event: seen.append((origin, event))],
        )
        sim.run([(t, "book", a_quote(t)) for t in range(100)])
        sim.drain(200)
        return seen

    assert run() == run()


def test_cores_that_answer_each_other_for_ever_are_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    class Echo:
        def handle(self, event: Any, /) -> Sequence[Event]:
            return (event,) if isinstance(event, Quote) else ()

    monkeypatch.setattr("tickbus.simulation.TICK_EVENTS_MAX", 1_000)
    sim = Simulation([Node(name="echo", core=Echo(), accepts=(Quote,))])
    sim.feed("echo", a_quote(5), 5)
    with pytest.raises(SimulationStuck, match="1000 events at 5"):
        sim.advance(5)
