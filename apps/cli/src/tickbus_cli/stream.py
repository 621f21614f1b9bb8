"""Show what happens as it happens, until Ctrl-C: topics of the gateway's stream.

tickbus stream orders fills
tickbus stream prices depth:BTC-USDT@sim --json | jq .data
tickbus stream trades:BTC-USDT@sim --count 100

docs/streaming.md lists the topics. A connection that breaks is made again, and goes on where it
was; what is lost all the same is said.
"""

import argparse
import math
import sys
import time
from collections.abc import Callable

import msgspec

from tickbus_cli import gateway
from tickbus_cli.tables import digits
from tickbus_cli.times import at
from tickbus_client import Update
from tickbus_client.answers.alerts import Alert
from tickbus_client.answers.market import Prices
from tickbus_client.answers.operations import LogLine, Logs
from tickbus_client.answers.streams import AlertsTold, FillsTold, OrdersTold, TradesTold

EXIT_NOTHING = 1
WIDTH_MAX = 160


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("topics", nargs="+", metavar="TOPIC", help="such as orders or prices")
    parser.add_argument("--count", type=int, default=0, metavar="N", help="end after N updates")
    parser.add_argument(
        "--for", dest="seconds", type=float, default=0.0, metavar="SECONDS", help="end after that"
    )
    gateway.configure(parser)
    gateway.add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print updates; 0 when it ended as asked, 1 when not as many came as were asked for."""
    left = arguments.count or sys.maxsize
    deadline = time.monotonic() + (arguments.seconds or math.inf)
    with gateway.the_desk(arguments) as desk:
        desk.operations.health()  # what was never there is an error; what goes away is waited for
        with desk.stream(*arguments.topics, patience_s=math.inf, on_trouble=trouble) as updates:
            while left > 0:
                update = updates.next(deadline - time.monotonic())
                if update is None:
                    break
                for line in [raw(update)] if arguments.json else lines(update):
                    print(line, flush=True)
                left -= 1
    return EXIT_NOTHING if arguments.count and left else 0


def trouble(why: str, pause_s: float) -> None:
    """Say that a connection ended."""
    print(f"the stream is away ({why}); again in {pause_s:.1f} s", file=sys.stderr, flush=True)


def raw(update: Update) -> str:
    """An update for scripts: one JSON object, its data as they were sent."""
    told = {
        "topic": update.topic, "kind": update.kind, "seq": update.seq,
        "data": msgspec.Raw(update.content),
    }  # fmt: skip
    return msgspec.json.encode(told).decode()


def lines(update: Update) -> list[str]:
    """An update for people, one line for each thing that it tells."""
    if update.kind == "gap":
        return [f"{update.topic}: something was lost; what follows is all of it again"]
    if update.kind == "error":
        return [f"{update.topic}: {update.data['detail']}"]
    told = _TOLD.get(update.topic.partition(":")[0], _anything)
    return told(update) or [f"{update.topic}: nothing yet"]


def _orders(update: Update) -> list[str]:
    from tickbus_cli.orders import sentence

    return [f"{at(o.updated_at)}  {sentence(o)}" for o in update.read(OrdersTold).orders]


def _fills(update: Update) -> list[str]:
    return [
        f"{at(f.at)}  {f.order_id}: {f.side} {digits(f.quantity)} {f.symbol} ({f.venue})"
        f" at {digits(f.price)}, fee {digits(f.fee)} {f.fee_asset}"
        for f in reversed(update.read(FillsTold).fills)
    ]


def _trades(update: Update) -> list[str]:
    name = update.topic.partition(":")[2]
    return [
        f"{at(t.at)}  {name}  {t.aggressor:<4} {t.size:>14g} at {t.price}"
        for t in reversed(update.read(TradesTold).trades)  # people read downwards
    ]


def _logs(update: Update) -> list[str]:
    return [log_line(line) for line in reversed(update.read(Logs).logs)]


def _alerts(update: Update) -> list[str]:
    return [alert_line(alert) for alert in reversed(update.read(AlertsTold).alerts)]


def alert_line(alert: Alert) -> str:
    """An alert as it began, changed or ended, on one line."""
    when = alert.cleared_at or alert.last_at or alert.first_at
    if alert.cleared_at is not None:
        because = f" ({alert.because})" if alert.because else ""
        return f"{at(when)}  over      {alert.title}{because}"
    often = f" ({alert.count} times)" if alert.count > 1 else ""
    detail = f": {alert.detail}" if alert.detail else ""
    return f"{at(when)}  {alert.severity:<8}  {alert.title}{often}{detail}"


def log_line(line: LogLine) -> str:
    """A line of a log with its fields, without the trace of an exception."""
    fields = "".join(f" {name}={value}" for name, value in line.fields.items())
    return f"{at(line.at)} {line.level.upper():<8} {line.service}: {line.message}{fields}"


def _prices(update: Update) -> list[str]:
    return [
        f"{at(p.updated_at)}  {p.symbol:<12} {p.venue:<8} {_number(p.bid)} / {_number(p.ask)}"
        f"{'  STALE' if p.stale else ''}"
        for p in update.read(Prices).prices
    ]


def _anything(update: Update) -> list[str]:
    text = f"{update.topic} {update.kind} {update.content.decode()}"
    return [text if len(text) <= WIDTH_MAX else f"{text[:WIDTH_MAX]}… (--json has all of it)"]


def _number(value: float | None) -> str:
    return f"{'' if value is None else value:>12}"


_TOLD: dict[str, Callable[[Update], list[str]]] = {
    "orders": _orders,
    "fills": _fills,
    "trades": _trades,
    "prices": _prices,
    "logs": _logs,
    "alerts": _alerts,
}
