"""Show strategies, and start, stop, switch, change and flatten them while everything else goes on.

tickbus strategies
tickbus strategies show momentum
tickbus strategies decisions momentum --since 2026-11-22T08:00
tickbus strategies kinds ping-pong
tickbus strategies stop momentum --flatten --reason "enough for today"
tickbus strategies stop-all --reason "maintenance"
tickbus strategies set momentum threshold_bps=8 window_s=default
tickbus strategies switch momentum ping-pong profit_bps=3
tickbus strategies start mine --kind mine.py:Mine --instrument BTC-USDT
tickbus strategies delete mine
"""

import argparse
import json
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
from rich.table import Table

from tickbus_cli import gateway, showing
from tickbus_cli.errors import CliError
from tickbus_cli.tables import Rounded
from tickbus_cli.times import at, moment
from tickbus_client import Call, Client, Reply
from tickbus_client.answers.strategies import Changed, Decision, Kind, Strategy
from tickbus_client.calls import strategies

DEFAULT = "default"
DECISIONS_SHOWN = 10
PAGE = 1_000
_COLUMNS = ("id", "phase", "kind", "markets", "position", "orders", "net pnl")
_ORDER = ("id", "instrument_id", "side", "type", "quantity", "price", "state")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    _common(parser, again=False)
    commands = parser.add_subparsers(dest="what", metavar="COMMAND")
    _common(commands.add_parser("list", help="every strategy (also without a command)"))
    kinds = _common(commands.add_parser("kinds", help="what can be run, and its parameters"))
    kinds.add_argument("kind", nargs="?", default="", help="one of them, or file.py:Class")
    _one(commands, "show", "one strategy, its orders and its last decisions")
    decided = _one(commands, "decisions", "what it decided in a stretch of time, oldest first")
    showing.add_span(decided)
    decided.add_argument(
        "--limit", type=int, default=100, metavar="N", help="the first N (default: 100; 0: all)"
    )  # fmt: skip
    start = _change(commands, "start", "start it, also after it failed; or a new one")
    start.add_argument(
        "--param", dest="params", action="append", default=[], metavar="name=value",
        help="for a new one; repeat for several",
    )  # fmt: skip
    start.add_argument("--kind", default="", help="make a new one of this kind, or file.py:Class")
    start.add_argument("--instrument", action="append", default=[], metavar="ID")
    start.add_argument("--venue", action="append", default=[], metavar="NAME")
    stop = _change(commands, "stop", "stop it and cancel its orders")
    stop.add_argument("--flatten", action="store_true", help="close what it holds, too")
    for name, says in (
        ("start-all", "start every strategy that is stopped or failed"),
        ("stop-all", "stop every strategy; orders by hand go on"),
    ):
        every = _common(commands.add_parser(name, help=says, description=says))
        every.add_argument("--reason", default="by hand", help="why, for the record")
        if name == "stop-all":
            every.add_argument("--flatten", action="store_true", help="close what they hold, too")
    params = f"name=value; `{DEFAULT}` for what it is without"
    values = _change(commands, "set", "change parameters; its orders go on working")
    values.add_argument("params", nargs="+", metavar="name=value", help=params)
    switch = _change(commands, "switch", "another kind at the same desk")
    switch.add_argument("kind", help="a registered name or file.py:Class")
    switch.add_argument("params", nargs="*", metavar="name=value", help=params)
    _change(commands, "flatten", "cancel its orders and close what it holds")
    _change(commands, "delete", "give its id up: one that is stopped, holds nothing, is in no file")
    _change(commands, "reset", "forget what was wished for: the files hold again")


def _common(parser: argparse.ArgumentParser, *, again: bool = True) -> argparse.ArgumentParser:
    gateway.configure(parser, again=again)
    gateway.add_json(parser, again=again)
    return parser


def _one(commands: Any, name: str, says: str) -> argparse.ArgumentParser:
    parser = _common(commands.add_parser(name, help=says, description=says))
    parser.add_argument("id", help="the strategy")
    return parser


def _change(commands: Any, name: str, says: str) -> argparse.ArgumentParser:
    parser = _one(commands, name, says)
    parser.add_argument("--reason", default="by hand", help="why, for the record")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Ask the gateway and show its answer; 0 unless a change is not applied yet."""
    with gateway.the_desk(arguments) as desk:
        match arguments.what:
            case None | "list":
                listed = desk.reply(strategies.listing())
                _print(arguments, listed, *_listed(listed.data.strategies))
            case "kinds":
                found = desk.reply(strategies.kinds(arguments.kind))
                kinds = found.data.kinds
                _print(arguments, found, _kinds(kinds, whole=bool(arguments.kind)))
                return 1 if arguments.kind and kinds[0].problem else 0
            case "show":
                one = desk.reply(strategies.get(arguments.id))
                _print(arguments, one, *_shown(one.data))
            case "decisions":
                return _decided(desk, arguments)
            case "start-all" | "stop-all":
                return _all(desk, arguments)
            case what:
                return _changed(arguments, desk.reply(_wish(what, arguments, desk)))
    return 0


def _decided(desk: Client, arguments: argparse.Namespace) -> int:
    """What it decided, page by page; nothing before an hour ago unless --since says otherwise."""
    limit = arguments.limit
    call = strategies.decisions(
        arguments.id,
        start=moment(arguments.since),
        end=moment(arguments.until),
        limit=min(limit, PAGE) or PAGE,
    )
    found: list[Decision] = []
    for page in desk.pages(call):
        found += page.decisions
        if limit and len(found) >= limit:
            break
    found = found[:limit] if limit else found
    if arguments.json:
        for each in found:
            print(msgspec.json.encode(each).decode())
    else:
        showing.draw(_decisions(found, f"decisions of {arguments.id}"))
    return 0


def _all(desk: Client, arguments: argparse.Namespace) -> int:
    actor = gateway.actor()
    if arguments.what == "start-all":
        reply = desk.reply(strategies.start_all(arguments.reason, actor=actor))
    else:
        flatten = arguments.flatten
        reply = desk.reply(strategies.stop_all(arguments.reason, flatten=flatten, actor=actor))
    done = reply.data
    named = {"done": done.applied, "so already": done.unchanged, "waiting": done.pending}
    _print(arguments, reply, *(f"{how}: {', '.join(ids)}" for how, ids in named.items() if ids))
    return 1 if done.pending else 0


def _wish(what: str, arguments: argparse.Namespace, desk: Client) -> Call[Changed]:
    """The call that a command stands for. Raises CliError, ApiError."""
    name, reason, actor = arguments.id, arguments.reason, gateway.actor()
    match what:
        case "start" if arguments.kind:
            return _new(arguments)
        case "start" if arguments.params or arguments.instrument or arguments.venue:
            raise CliError(
                "instruments and parameters are for a new strategy, and it needs a kind",
                "Give --kind as well, or change one that exists with `set` or `switch`.",
            )
        case "start":
            return strategies.start(name, reason, actor=actor)
        case "delete":
            return strategies.delete(name, reason, actor=actor)
        case "stop":
            return strategies.stop(name, reason, flatten=arguments.flatten, actor=actor)
        case "set":
            return strategies.set_params(name, _params(arguments.params), reason, actor=actor)
        case "switch":
            now = desk.strategies.get(name).terms
            if now is None:
                raise CliError(f"nothing is known of {name}", "Use `start ... --kind`.")
            return strategies.put(
                name, arguments.kind, now.instruments, reason, params=_given(arguments.params),
                is_running=now.is_running, venue=now.venue, venues=now.venues, actor=actor,
            )  # fmt: skip
        case "flatten":
            return strategies.flatten(name, reason, actor=actor)
    return strategies.reset(name, reason, actor=actor)


def _new(arguments: argparse.Namespace) -> Call[Changed]:
    several = len(arguments.venue) > 1
    return strategies.put(
        arguments.id,
        arguments.kind,
        arguments.instrument,
        arguments.reason,
        params=_given(arguments.params),
        venue="" if several else "".join(arguments.venue),
        venues=arguments.venue if several else (),
        actor=gateway.actor(),
    )


def _given(given: list[str]) -> dict[str, Any]:
    """As `_params`, without what shall be as it is by default."""
    return {name: value for name, value in _params(given).items() if value is not None}


def _params(given: list[str]) -> dict[str, Any]:
    """Values as JSON where they are, else as text; numbers travel as text and stay exact."""
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise CliError(f"{text!r} is no parameter", "Write it as name=value.")
        try:
            parsed = json.loads(value, parse_float=str, parse_int=str)
        except ValueError:
            parsed = value
        found[name] = None if value == DEFAULT else parsed
    return found


def _changed(arguments: argparse.Namespace, reply: Reply[Changed]) -> int:
    strategy = reply.data.strategy
    gone = arguments.what == "delete" and reply.data.applied
    shown: list[Table | str] = [f"{arguments.id} is deleted"]
    if not gone:
        shown = _listed([strategy] if strategy else [])
    _print(arguments, reply, *shown)
    if not reply.data.applied:
        print("kept, but no process has applied it: see `tickbus status`", file=sys.stderr)
        return 1
    return 0


# -- what is shown -------------------------------------------------------------------------------


def _print(arguments: argparse.Namespace, reply: Reply[Any], *parts: Table | str) -> None:
    if arguments.json:
        showing.whole(reply)
    else:
        showing.draw(*parts)


def _listed(found: Sequence[Strategy]) -> list[Table | str]:
    """One row each, and below what made them fail."""
    rows = []
    for each in found:
        held = [f"{m.quantity:f} {m.instrument_id}" for m in each.markets if m.quantity]
        markets = [f"{m.venue} {m.instrument_id}" for m in each.markets]
        net_pnl = sum((m.net_pnl for m in each.markets), Decimal(0))
        rows.append((
            each.id, each.phase, each.terms.kind.rpartition("/")[2] if each.terms else "",
            ", ".join(markets), ", ".join(held), sum(m.working_orders for m in each.markets),
            Rounded(net_pnl),
        ))  # fmt: skip
    errors = [f"{each.id}: {each.error}" for each in found if each.error]
    return [showing.table(_COLUMNS, rows), *errors]


def _shown(one: Strategy) -> list[Table | str]:
    params = "  ".join(f"{name}={value}" for name, value in one.params.items())
    orders = [[getattr(order, column) for column in _ORDER] for order in one.orders or ()]
    columns = [column.replace("_", " ") for column in _ORDER]
    return [
        *_listed([one]),
        f"revision {one.revision}  {params}",
        showing.table(columns, orders, "working orders"),
        _decisions((one.decisions or ())[:DECISIONS_SHOWN], "last decisions"),
    ]


def _decisions(found: Sequence[Decision], title: str) -> Table:
    rows = [
        (at(each.decided_at), each.instrument_id,
         "  ".join(f"{name}={value}" for name, value in each.inputs.items()),
         ", ".join(each.orders))
        for each in found
    ]  # fmt: skip
    return showing.table(("decided at", "instrument", "inputs", "orders"), rows, title)


def _kinds(kinds: Sequence[Kind], *, whole: bool) -> Table | str:
    if whole:
        (kind,) = kinds
        text = kind.problem or f"{kind.doc}\n\n{kind.params_doc}\n"
        return "\n".join([text, *_fields(kind.params)])
    rows = [(k.kind, k.problem or k.title, "  ".join(_fields(k.params))) for k in kinds]
    return showing.table(("kind", "what it does", "parameters"), rows)


def _fields(schema: dict[str, Any]) -> list[str]:
    """`name=default` of every parameter in a JSON schema."""
    found = schema
    if "$ref" in schema:
        found = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    return [f"{name}={field.get('default', '…')}" for name, field in found["properties"].items()]
