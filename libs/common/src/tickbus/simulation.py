"""Runs cores against each other in virtual time: same input, same outputs, byte for byte."""

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tickbus.clock import ManualClock
from tickbus.events import Event, Recovered, SetTimer, TimerFired
from tickbus.runtime.spec import Core

Observer = Callable[[str, Any], None]
TICK_EVENTS_MAX = 1_000_000


class SimulationStuck(RuntimeError):
    """Cores answer each other without end at one instant; the text names the last event."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """One core, what it is given, and how long events take to reach it.

    `accepts` are exact event types. `wants` narrows them further (by strategy, by venue).
    """

    name: str
    core: Core
    accepts: tuple[type, ...]
    latency_ns: int = 0
    wants: Callable[[Any], bool] | None = None


class Simulation:
    """A heap of deliveries ordered by time, ties by the order in which they were made.

    Every output of a core goes to each node that accepts its type, in the order of the nodes, and
    to the observers, with the name of the node that made it.
    """

    def __init__(self, nodes: Sequence[Node], observers: Sequence[Observer] = ()) -> None:
        self.clock = ManualClock()
        self._nodes = {node.name: node for node in nodes}
        self._routes: dict[type, list[Node]] = {}
        for node in nodes:
            for kind in node.accepts:
                self._routes.setdefault(kind, []).append(node)
        self._observers = tuple(observers)
        self._heap: list[tuple[int, int, Node, Any]] = []
        self._number = 0
        self._timers: dict[tuple[str, str], int] = {}
        self._at_instant = 0

    def start(self, now_ns: int) -> None:
        """Tell every core that it is live, as a service does once its history is folded."""
        self.clock.advance_to(now_ns)
        for node in self._nodes.values():
            self._give(node, Recovered(now_ns, now_ns))

    def feed(self, node: str, event: Any, at_ns: int) -> None:
        """Everything due before `at_ns`, then `event` to the named node."""
        self.advance(at_ns)
        self._give(self._nodes[node], event)

    def broadcast(self, event: Any, at_ns: int) -> None:
        """Everything due before `at_ns`, then `event` to whoever accepts it."""
        self.advance(at_ns)
        self._route("input", event)
        self.advance(at_ns)

    def advance(self, until_ns: int) -> None:
        """Deliver what is due up to and including `until_ns`."""
        heap = self._heap
        while heap and heap[0][0] <= until_ns:
            at_ns, number, node, event = heapq.heappop(heap)
            self._count(at_ns, event)
            self.clock.advance_to(at_ns)
            if type(event) is TimerFired:
                if self._timers.get((node.name, event.key)) != number:
                    continue  # set again or taken back since
                del self._timers[node.name, event.key]
            self._give(node, event)
        self.clock.advance_to(until_ns)

    def drain(self, until_ns: int) -> None:
        """Deliver what is due up to `until_ns`; later timers are dropped."""
        self.advance(until_ns)
        self._heap.clear()
        self._timers.clear()

    def run(self, inputs: Iterable[tuple[int, str, Any]]) -> None:
        """Feed (at_ns, node, event) in the given order; times may not run backwards."""
        for at_ns, node, event in inputs:
            self.feed(node, event, at_ns)

    def _count(self, at_ns: int, event: Any) -> None:
        self._at_instant = self._at_instant + 1 if at_ns == self.clock.now_ns() else 0
        if self._at_instant > TICK_EVENTS_MAX:
            raise SimulationStuck(f"{TICK_EVENTS_MAX} events at {at_ns}, the last {event!r}")

    def _give(self, node: Node, event: Any) -> None:
        for output in node.core.handle(event):
            if type(output) is SetTimer:
                self._set_timer(node, output)
            else:
                self._route(node.name, output)

    def _route(self, origin: str, event: Event) -> None:
        for observe in self._observers:
            observe(origin, event)
        now = self.clock.now_ns()
        for node in self._routes.get(type(event), ()):
            if node.wants is None or node.wants(event):
                self._push(now + node.latency_ns, node, event)

    def _set_timer(self, node: Node, timer: SetTimer) -> None:
        at_ns = max(timer.at_ns, self.clock.now_ns())
        number = self._push(at_ns, node, TimerFired(at_ns, at_ns, timer.key))
        self._timers[node.name, timer.key] = number

    def _push(self, at_ns: int, node: Node, event: Any) -> int:
        self._number += 1
        heapq.heappush(self._heap, (at_ns, self._number, node, event))
        return self._number
