"""Check what a feed publishes on the bus against the rules that every feed keeps to.

Run it beside any feed, of whatever making: it listens, asks for a book now and then, and reports.
The bus is that of the platform that runs below .tickbus/, or that of --data-dir or --bus. With
--faults and the address of the simulated exchange it also provokes faults on the wire and a
disconnect.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable

import httpx
import msgspec
from rich.console import Console
from rich.table import Table

from tickbus import codec, subjects
from tickbus.bus import Bus, Message
from tickbus.codec import MalformedMessage
from tickbus.events import Instrument, KeyframeWanted
from tickbus_cli import asking
from tickbus_cli.errors import CliError
from tickbus_cli.profile import duration_s
from tickbus_testkit.conformance import Conformance

WISH_S = 5.0
FAULTS_AT = (0.25, 0.6)
KINDS = ("drop", "duplicate", "reorder", "truncate", "corrupt")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--venue", required=True, help="the venue's name on the bus")
    parser.add_argument(
        "--duration", type=_duration, default=30.0, metavar="TIME", help="how long (default: 30s)"
    )
    asking.add_reaching(parser)
    parser.add_argument(
        "--faults", default="", metavar="URL", help="the simulated exchange, to be made faulty"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")


def _duration(text: str) -> float:
    try:
        return duration_s(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run(arguments: argparse.Namespace) -> int:
    """Listen, report; 0 when no rule was broken, 1 when one was or nothing was heard."""
    found = asyncio.run(_listen(arguments))
    if arguments.json:
        rows = [{**v._asdict(), "verdict": v.word} for v in found.verdicts()]
        report = {"venue": found.venue, "messages": found.messages, "rules": rows}
        print(msgspec.json.encode(report).decode())
    else:
        render(found, Console())
    if not found.messages:
        raise CliError(
            f"nothing of {arguments.venue} was heard",
            "Is the feed running, is that its name on the bus, and is it the bus that you mean?",
        )
    return 0 if found.is_sound else 1


async def _listen(arguments: argparse.Namespace) -> Conformance:
    found = Conformance(arguments.venue)
    faults = _faults(arguments.faults) if arguments.faults else None
    async with asking.the_bus(arguments) as bus:
        await listen(bus, found, arguments.duration, faults)
    return found


async def listen(
    bus: Bus,
    found: Conformance,
    duration_s: float,
    faults: Callable[[int], Awaitable[None]] | None = None,
) -> None:
    """Give `found` all that the venue's feed says within the time; `faults` gets 0, then 1."""

    async def keep(key: str, value: bytes) -> None:
        if key.startswith(f"{found.venue}."):
            found.describe(codec.decode_value(value, Instrument))

    async def hear(message: Message) -> None:
        now = time.time_ns()
        try:
            events = codec.decode(message.payload).events
        except MalformedMessage as error:
            found.malformed(message.subject, str(error))
            return
        for event in events:
            found.take(message.subject, event, now)

    await bus.kv_watch("instruments", keep)
    await bus.subscribe(subjects.market("*", found.venue), hear)
    loop = asyncio.get_running_loop()
    began, wished, provoked = loop.time(), loop.time(), 0
    while (spent := loop.time() - began) < duration_s:
        await asyncio.sleep(0.2)
        found.passed(time.time_ns())
        if loop.time() - wished > min(WISH_S, duration_s / 3):
            wished = loop.time()
            for name in list(found.instruments)[:3]:
                now = time.time_ns()
                wish = KeyframeWanted(now, now, found.venue, name)
                found.wished(name, now)
                await bus.publish(subjects.of(wish), codec.encode([wish]))
        if faults is not None and provoked < 2 and spent > FAULTS_AT[provoked] * duration_s:
            await faults(provoked)
            provoked += 1


def _faults(url: str) -> Callable[[int], Awaitable[None]]:
    async def provoke(number: int) -> None:
        async with httpx.AsyncClient(timeout=5.0) as client:
            try:
                if number == 0:
                    wanted = dict.fromkeys(KINDS, 0.01)
                    answer = await client.post(f"{url}/admin/faults", json=wanted)
                else:
                    (await client.post(f"{url}/admin/faults", json={})).raise_for_status()
                    answer = await client.post(f"{url}/admin/disconnect")
                answer.raise_for_status()
            except httpx.HTTPError as error:
                raise CliError(
                    f"--faults {url}: {error}", "Only the simulated exchange can be made faulty."
                ) from error

    return provoke


def render(found: Conformance, console: Console) -> None:
    """A row per rule, then what broke them."""
    table = Table(title=f"{found.venue}: {found.messages:,} events")
    for name in ("rule", "verdict", "checked", "what it says"):
        table.add_column(name, justify="right" if name == "checked" else "left")
    colors = {"passed": "green", "FAILED": "red", "not seen": "yellow"}
    verdicts = found.verdicts()
    for v in verdicts:
        word = f"[{colors[v.word]}]{v.word}[/]"
        table.add_row(v.rule, word, f"{v.checked:,}", v.says)
    console.print(table)
    for v in verdicts:
        for example in v.examples:
            console.print(f"{v.rule}: {example}", markup=False)
        if v.broken > len(v.examples):
            console.print(f"{v.rule}: and {v.broken - len(v.examples):,} more")
