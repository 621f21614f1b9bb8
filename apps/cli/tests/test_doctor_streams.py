"""`tickbus doctor` on JetStream: what is missing, nearly full, without its copies, or behind."""

from typing import Any

import msgspec
import pytest

from tickbus import permissions
from tickbus.bus import MemoryBus, RequestTimeout
from tickbus_cli.doctor import clocks, streams
from tickbus_cli.doctor.finding import Finding, Level

MS = 1_000_000


def a_stream(name: str = "ORDERS", **change: Any) -> dict[str, Any]:
    """What the server says of one; `change` is of its configuration, `state` and `cluster`."""
    state = {"messages": 10, "bytes": 1_000} | change.pop("state", {})
    cluster = change.pop("cluster", None)
    config = {"name": name, "storage": "file", "discard": "new", "num_replicas": 1} | change
    return {"config": config, "state": state, "cluster": cluster}


def a_consumer(name: str, created: str = "2026-01-01T00:00:00Z", **change: Any) -> dict[str, Any]:
    config = {"durable_name": name}
    return {
        "name": name, "created": created, "config": config, "num_pending": 0, "num_ack_pending": 0,
        "push_bound": True,
    } | change  # fmt: skip


def all_streams(**change: Any) -> list[dict[str, Any]]:
    return [a_stream(**change), *(a_stream(name) for name in permissions.STREAMS[1:])]


def judged(found: list[Finding]) -> list[tuple[str, Level]]:
    for each in found:
        assert bool(each.remedy) == (each.level in (Level.WARNING, Level.BAD)), each
    return [(each.check, each.level) for each in found]


def test_storage_that_is_nearly_full_is_bad() -> None:
    facts = {"storage": 81, "limits": {"max_storage": 100}}
    assert streams.room(facts, []).level is Level.BAD
    assert streams.room({"storage": 80, "limits": {"max_storage": 100}}, []).level is Level.OK
    assert streams.room({"storage": 10**12, "limits": {"max_storage": -1}}, []).level is Level.OK


def test_a_stream_that_is_missing_is_bad() -> None:
    found = judged(list(streams.stored([a_stream("KV_access"), a_stream("QUARANTINE")])))
    assert found == [
        ("stream ORDERS", Level.BAD), ("stream QUARANTINE", Level.OK),
        ("stream DEADLETTERS", Level.BAD), ("stream DECISIONS", Level.BAD),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "level"),
    [
        ({"max_bytes": 1_000}, Level.BAD),
        ({"max_bytes": 10_000}, Level.OK),
        ({"max_msgs": 11}, Level.BAD),
        ({"max_bytes": -1, "max_msgs": -1}, Level.OK),
        ({"max_bytes": 1_000, "discard": "old"}, Level.OK),
        ({"storage": "memory"}, Level.BAD),
    ],
)
def test_a_stream_that_will_refuse_or_forget_orders_is_bad(
    change: dict[str, Any], level: Level
) -> None:
    found = judged(list(streams.stored(all_streams(**change))))
    assert found[0] == ("stream ORDERS", level)


def test_copies_that_are_away_are_said() -> None:
    one = {"leader": "n1", "replicas": [{"name": "n2", "current": True}]}
    away = {"leader": "n1", "replicas": [{"name": "n2", "current": True, "offline": True},
                                         {"name": "n3", "current": False}]}  # fmt: skip
    none: dict[str, Any] = {"replicas": []}
    assert not list(streams.copies([a_stream(num_replicas=3, cluster=one), a_stream()]))
    (found,) = streams.copies([a_stream(num_replicas=3, cluster=away)])
    assert (found.level, found.says) == (Level.WARNING, "not up to date on n2, n3")
    (found,) = streams.copies([a_stream(num_replicas=3, cluster=none)])
    assert found.level is Level.BAD


def test_a_service_that_is_behind_or_gone_is_named() -> None:
    found = streams.lags([
        a_consumer("risk-b", "2026-01-02T00:00:00Z"),
        a_consumer("risk-a", num_pending=99_999, push_bound=False),  # of the process before
        a_consumer("execution-a", num_pending=streams.LAG_LOW, num_ack_pending=1),
        a_consumer("execution_sim2-a", num_pending=streams.LAG_BAD + 1),
        a_consumer("router-a", num_pending=3, push_bound=False),
        a_consumer("alerts-a", push_bound=False),
        {"name": "x7Zk", "created": "2026-01-01T00:00:00Z", "config": {}, "num_pending": 99_999},
    ])  # fmt: skip
    assert judged(list(found)) == [
        ("lag alerts", Level.OK), ("lag execution", Level.WARNING),
        ("lag execution_sim2", Level.BAD), ("lag risk", Level.OK), ("lag router", Level.BAD),
    ]  # fmt: skip


class Server(MemoryBus):
    """Answers as JetStream does; what it has no answer to is a time-out."""

    def __init__(self, answers: dict[str, list[Any]]) -> None:
        super().__init__()
        self.answers = answers

    async def request(self, subject: str, payload: bytes, timeout_s: float) -> bytes:
        if not self.answers.get(subject):
            raise RequestTimeout("nobody answered")
        pages = self.answers[subject]
        offset = msgspec.json.decode(payload).get("offset", 0)
        return msgspec.json.encode(pages[min(offset, len(pages) - 1)])


async def test_every_page_of_what_the_server_has_is_read() -> None:
    each = all_streams()
    pages = [{"streams": [stream], "total": len(each)} for stream in each]
    answers: dict[str, list[Any]] = {
        streams.INFO: [{"storage": 1}],
        streams.STREAMS: pages,
        streams.CONSUMERS: [{}],
    }
    found = judged(await streams.examine(Server(answers)))
    assert found == [
        ("jetstream", Level.OK), *((f"stream {name}", Level.OK) for name in permissions.STREAMS),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "answers", [{}, {streams.INFO: [{"error": {"code": 503, "description": "not enabled"}}]}]
)
async def test_a_server_without_jetstream_is_bad(answers: dict[str, list[Any]]) -> None:
    assert judged(await streams.examine(Server(answers))) == [("jetstream", Level.BAD)]


@pytest.mark.parametrize(
    ("theirs_ms", "level", "says"),
    [
        (0, Level.OK, "0 ms behind nats"),
        (200, Level.OK, "200 ms behind nats"),
        (-400, Level.WARNING, "400 ms ahead of nats"),
        (1_101, Level.BAD, "1101 ms behind nats"),
        # What the question took may be all of the difference.
        (1_099, Level.WARNING, "1099 ms behind nats"),
    ],
)
def test_a_clock_is_judged_by_what_is_known_of_it(theirs_ms: int, level: Level, says: str) -> None:
    found = clocks.judge("nats", -100 * MS, 100 * MS, theirs_ms * MS)
    assert (found.level, found.says) == (level, says)
