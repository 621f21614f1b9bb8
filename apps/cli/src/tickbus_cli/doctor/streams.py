"""JetStream: its storage, the streams that must be there, their copies, and who lags behind."""

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from tickbus import permissions, subjects
from tickbus.bus import Bus, BusError
from tickbus_cli.doctor import clocks
from tickbus_cli.doctor.finding import Finding, bad, ok, warning

WAIT_S = 3.0
FULL = 0.8
LAG_LOW = 1_000
LAG_BAD = 10_000
"""Messages of ORDERS that a service has not handled yet."""
PAGES_MAX = 100
INFO = "$JS.API.INFO"
STREAMS = "$JS.API.STREAM.LIST"
CONSUMERS = f"$JS.API.CONSUMER.LIST.{subjects.ORDERS_STREAM}"
Facts = Mapping[str, Any]


class NoJetStream(Exception):
    """It does not answer, or refuses; the text says why."""


async def examine(connected: Bus) -> list[Finding]:
    """All of it, by what the server says to a user who may ask."""
    try:
        facts = await _ask(connected, INFO, {})
        streams, clock = await _streams(connected)
        consumers = [each async for each in _pages(connected, CONSUMERS, "consumers")]
    except NoJetStream as error:
        remedy = "start nats-server with JetStream and storage, and ask as the operator"
        return [bad("jetstream", str(error), remedy)]
    found = [room(facts, streams), *stored(streams), *copies(streams), *lags(consumers)]
    return [*found, clock] if clock is not None else found


async def _streams(connected: Bus) -> tuple[list[Facts], Finding | None]:
    """The streams, and the server's clock beside ours where it tells its time."""
    began = time.time_ns()
    first = await _ask(connected, STREAMS, {"offset": 0})
    ended = time.time_ns()
    streams = [each async for each in _pages(connected, STREAMS, "streams")]
    told = next((each["ts"] for each in first.get("streams") or [] if each.get("ts")), None)
    if told is None:
        return streams, None
    theirs_ns = int(msgspec.convert(told, datetime).timestamp() * 1_000_000) * 1_000
    return streams, clocks.judge("nats", began, ended, theirs_ns)


async def _pages(connected: Bus, subject: str, name: str) -> AsyncIterator[Facts]:
    offset = 0
    for _ in range(PAGES_MAX):
        page = await _ask(connected, subject, {"offset": offset})
        entries = page.get(name) or []
        for each in entries:
            yield each
        offset += len(entries)
        if not entries or offset >= page.get("total", 0):
            return


async def _ask(connected: Bus, subject: str, wish: Facts) -> dict[str, Any]:
    try:
        said = await connected.request(subject, msgspec.json.encode(wish), WAIT_S)
        facts = msgspec.json.decode(said, type=dict[str, Any])
    except (BusError, msgspec.DecodeError) as error:
        raise NoJetStream(str(error) or "no answer") from error
    if "error" in facts:
        raise NoJetStream(str(facts["error"].get("description", facts["error"])))
    return facts


def room(facts: Facts, streams: Sequence[Facts]) -> Finding:
    """What JetStream says of its storage; of a limit only where the account has one."""
    used, limit = int(facts.get("storage", 0)), int(facts.get("limits", {}).get("max_storage", -1))
    says = f"{len(streams)} streams, {used / 1e6:.0f} MB stored"
    if limit > 0 and used > FULL * limit:
        says += f" of {limit / 1e6:.0f}"
        return bad("jetstream", says, "raise the account's limit, or give the server more room")
    return ok("jetstream", says)


def stored(streams: Sequence[Facts]) -> Iterator[Finding]:
    """Whether the streams of the platform are there, on disk, with room for more."""
    there = {each["config"]["name"]: each for each in streams}
    for name in permissions.STREAMS:
        if name not in there:
            yield bad(
                f"stream {name}", "is not there", "start a service: each makes what is missing"
            )
            continue
        config, state = there[name]["config"], there[name]["state"]
        says = f"{state['messages']} messages, {state['bytes'] / 1e6:.0f} MB"
        if config.get("storage") == "memory":
            remedy = "make it anew with storage on disk: what is in it ends with the server"
            yield bad(f"stream {name}", f"{says}, in memory only", remedy)
        elif full := _full(config, state):
            remedy = f"raise it: nats stream edit {name}, or no order can be stored"
            yield bad(f"stream {name}", f"{says}: {full}", remedy)
        else:
            yield ok(f"stream {name}", says)


def _full(config: Facts, state: Facts) -> str:
    """Which limit a stream is near that refuses what does not fit; one that forgets has none."""
    if config.get("discard") != "new":
        return ""
    for limit, used in (("max_bytes", state["bytes"]), ("max_msgs", state["messages"])):
        most = int(config.get(limit, -1))
        if most > 0 and used > FULL * most:
            return f"over {FULL:.0%} of {limit} = {most}"
    return ""


def copies(streams: Sequence[Facts]) -> Iterator[Finding]:
    """Whether each stream of a cluster has a leader, and its copies are up to date."""
    for each in streams:
        cluster = each.get("cluster") or {}
        replicas = cluster.get("replicas") or []
        check = f"copies {each['config']['name']}"
        if int(each["config"].get("num_replicas", 1)) > 1 and not cluster.get("leader"):
            yield bad(check, "no leader: nothing can be stored", "start the servers that are away")
        away = [r["name"] for r in replicas if r.get("offline") or not r.get("current")]
        if away:
            says = f"not up to date on {', '.join(away)}"
            yield warning(
                check, says, "start these servers, or see their logs: one less may be lost"
            )


def lags(consumers: Sequence[Facts]) -> Iterator[Finding]:
    """How far each service is behind in what it must handle, by its durable.

    One that was started anew has several consumers for a while; the newest of them counts.
    """
    newest: dict[str, Facts] = {}
    for each in sorted(consumers, key=lambda facts: str(facts["created"])):
        if each["config"].get("durable_name"):
            newest[each["name"].rpartition("-")[0] or each["name"]] = each
    for durable, facts in sorted(newest.items()):
        behind = int(facts.get("num_pending", 0)) + int(facts.get("num_ack_pending", 0))
        says = f"{behind} messages of {subjects.ORDERS_STREAM} behind"
        check, service = f"lag {durable}", durable.partition("_")[0]
        if not facts.get("push_bound") and behind:
            yield bad(check, f"{says}, and nobody reads", f"start {service}, or see why it ended")
        elif behind > LAG_BAD:
            yield bad(check, says, f"see the log of {service} and the load of its machine")
        elif behind > LAG_LOW:
            yield warning(check, says, f"look again: where it grows, {service} is too slow")
        else:
            yield ok(check, says)
