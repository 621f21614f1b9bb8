"""List, look at, place, replace and cancel orders.

tickbus orders --working
tickbus orders place buy 0.001 BTCUSDT --price 60000
tickbus orders check buy 2 BTCUSDT
tickbus orders place sell 0.001 BTCUSDT --trigger-price 55000
tickbus orders show m-k3f0-1
tickbus orders replace m-k3f0-1 --price 60100
tickbus orders cancel m-k3f0-1
tickbus orders cancel-all --symbol BTCUSDT

Exit code 0: done. 1: refused, or not certain yet: look at the order again.
"""

import argparse
import sys
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Any, get_args

from tickbus_cli import confirming, gateway, showing
from tickbus_cli.errors import CliError
from tickbus_cli.tables import digits
from tickbus_cli.times import at
from tickbus_client import Client, Reply
from tickbus_client.answers.orders import Order
from tickbus_client.calls import orders
from tickbus_client.calls.orders import OrderType, TimeInForce

COLUMNS = (
    "time", "order", "strategy", "venue", "instrument", "side", "type", "quantity", "price",
    "trigger", "state", "filled", "avg_price", "reason",
)  # fmt: skip
BRIEF = ("order", "instrument", "side", "quantity", "price", "state", "filled", "time")
PAGE_MAX = 1000
UNDECIDED = 202


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.set_defaults(what="list")
    configure_list(parser)
    commands = parser.add_subparsers(metavar="COMMAND")
    configure_list(
        _command(commands, "list", "the newest first (also without a command)"), again=True
    )
    show = _command(commands, "show", "one order and every event of its life")
    show.add_argument("id", help="as `tickbus orders` shows it")
    place = _command(commands, "place", "send an order to risk, and wait a little for it")
    _ordering(place)
    place.add_argument(
        "--key", default="", help="repeats with one key place one order (default: a new one)"
    )
    confirming.add_yes(place)
    _ordering(_command(commands, "check", "ask risk what it would say, and send nothing"))
    replace = _command(commands, "replace", "put a changed order in the place of a working one")
    replace.add_argument("id", help="as `tickbus orders` shows it")
    for name in ("price", "quantity", "trigger-price"):
        replace.add_argument(f"--{name}", type=number, metavar="N")
    cancel = _command(commands, "cancel", "cancel orders")
    cancel.add_argument("ids", nargs="+", metavar="id")
    everything = _command(commands, "cancel-all", "cancel every working order, or those that match")
    for name in ("strategy", "symbol", "venue"):
        everything.add_argument(f"--{name}", default="", help="only of this one")
    for each in (show, replace, cancel, everything):
        gateway.configure(each, again=True)
        gateway.add_json(each, again=True)


def _command(commands: Any, name: str, says: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=says, description=says)
    parser.set_defaults(what=name)
    return parser


def configure_list(parser: argparse.ArgumentParser, *, again: bool = False) -> None:
    """Add the arguments of the list; `again` as with `gateway.configure`."""
    gateway.configure(parser, again=again)
    showing.add_printing(parser, again=again)
    showing.add_span(parser, again=again)
    showing.add_filters(parser, again=again)
    hidden: Any = argparse.SUPPRESS
    parser.add_argument(
        "--working", action="store_true", default=hidden if again else False,
        help="only those that may still trade",
    )  # fmt: skip
    parser.add_argument(
        "--state", action="append", default=hidden if again else [], metavar="STATE",
        help="only in this state; repeat for several",
    )  # fmt: skip


def _side(text: str) -> str:
    side = text.lower()
    if side not in ("buy", "sell"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither buy nor sell: the side comes first, as in buy 0.001 BTCUSDT"
        )
    return side


def _ordering(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("side", type=_side, metavar="SIDE", help="buy or sell")
    parser.add_argument("quantity", type=number, help="in base currency")
    parser.add_argument("symbol", help="BTCUSDT, BTC-USDT or btc/usdt")
    parser.add_argument("--price", type=number, metavar="N", help="a limit (default: at market)")
    parser.add_argument(
        "--trigger-price", type=number, metavar="N", help="of a stop, or of a take-profit by --type"
    )
    parser.add_argument("--type", type=str.upper, choices=get_args(OrderType))
    parser.add_argument("--time-in-force", type=str.upper, choices=get_args(TimeInForce))
    parser.add_argument("--expires", metavar="TIME", type=showing.when, help="cancelled then")
    parser.add_argument("--post-only", action="store_true", help="never take")
    parser.add_argument("--reduce-only", action="store_true", help="only shrink a position")
    parser.add_argument("--venue", default="", help="where several trade it")
    gateway.configure(parser, again=True)
    gateway.add_json(parser, again=True)


def number(text: str) -> str:
    """An argument that is an exact number, as it was written."""
    try:
        if Decimal(text).is_finite():
            return text
    except InvalidOperation:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is no number: write it as 0.001")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked; the exit code says whether it is certain."""
    do: dict[str, Callable[[Client, argparse.Namespace], int]] = {
        "list": _list,
        "show": _show,
        "place": _place,
        "check": _check,
        "replace": _replace,
        "cancel": _cancel,
        "cancel-all": _cancel_all,
    }
    with gateway.the_desk(arguments) as desk:
        return do[arguments.what](desk, arguments)


def _list(desk: Client, arguments: argparse.Namespace) -> int:
    limit = arguments.limit or sys.maxsize
    call = orders.listing(
        state=arguments.state,
        working=True if arguments.working else None,
        limit=min(limit, PAGE_MAX),
        **showing.chosen(arguments),
    )
    found = (order for page in desk.pages(call) for order in page.orders)
    rows = [_row(order) for order in islice(found, limit)]
    showing.show(arguments, "orders", COLUMNS, rows, BRIEF)
    return 0


def _show(desk: Client, arguments: argparse.Namespace) -> int:
    reply = desk.reply(orders.get(arguments.id))
    if arguments.json:
        showing.whole(reply)
        return 0
    order = reply.data
    steps = [(step.sequence, at(step.at), step.event) for step in order.events or ()]
    showing.draw(
        sentence(order),
        f"strategy {order.strategy}, {order.time_in_force}, created {at(order.created_at)}, at the"
        f" venue {order.venue_order_id or 'not yet'}",
        *([f"{order.reason} {order.detail}"] if order.reason or order.detail else []),
        showing.table(("sequence", "time", "event"), steps),
    )
    return 0


def _place(desk: Client, arguments: argparse.Namespace) -> int:
    what = f"{arguments.side} {arguments.quantity} {arguments.symbol}"
    confirming.confirm(desk, arguments, what, arguments.side.upper())
    call = orders.place(**_terms(arguments), idempotency_key=arguments.key)
    return _tell(arguments, desk.reply(call))


def _check(desk: Client, arguments: argparse.Namespace) -> int:
    reply = desk.reply(orders.validate(**_terms(arguments)))
    seen = reply.data
    if arguments.json:
        showing.whole(reply)
        return 0 if seen.passes else 1
    if not seen.passes:
        raise CliError(f"risk would refuse it: {seen.reason} ({seen.detail})", seen.remedy)
    notional = "" if seen.notional is None else f", {digits(seen.notional)} {seen.currency}"
    fee = "" if seen.fee is None else f", fee at most {digits(seen.fee)}"
    showing.draw(
        f"risk would let it pass: {seen.side} {digits(seen.quantity)} {seen.symbol} ({seen.venue})"
        f"{notional}{fee}; position {digits(seen.position)}, then {digits(seen.position_after)}"
    )
    return 0


def _terms(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "symbol": arguments.symbol,
        "side": arguments.side.upper(),
        "quantity": arguments.quantity,
        "price": arguments.price,
        "type": arguments.type,
        "trigger_price": arguments.trigger_price,
        "expires_at": arguments.expires,
        "time_in_force": arguments.time_in_force,
        "post_only": arguments.post_only,
        "reduce_only": arguments.reduce_only,
        "venue": arguments.venue,
    }


def _replace(desk: Client, arguments: argparse.Namespace) -> int:
    call = orders.replace(
        arguments.id,
        price=arguments.price,
        quantity=arguments.quantity,
        trigger_price=arguments.trigger_price,
    )
    return _tell(arguments, desk.reply(call))


def _cancel(desk: Client, arguments: argparse.Namespace) -> int:
    return max(_tell(arguments, desk.reply(orders.cancel(name))) for name in arguments.ids)


def _cancel_all(desk: Client, arguments: argparse.Namespace) -> int:
    reply = desk.reply(
        orders.cancel_all(
            strategy=arguments.strategy, symbol=arguments.symbol, venue=arguments.venue
        )
    )
    done = reply.data
    if arguments.json:
        showing.whole(reply)
    else:
        parts = [f"{len(done.canceled)} orders cancelled"]
        if done.closed_otherwise:
            parts.append(f"{len(done.closed_otherwise)} were filled or refused meanwhile")
        showing.draw("; ".join(parts))
        for what in (*(f"STILL WORKING: {each}" for each in done.pending), *done.not_checked):
            print(what, file=sys.stderr)
    return 1 if done.pending else 0


def _tell(arguments: argparse.Namespace, reply: Reply[Order]) -> int:
    if arguments.json:
        showing.whole(reply)
    else:
        showing.draw(sentence(reply.data))
    if reply.status == UNDECIDED:
        print(f"not certain yet: see `tickbus orders show {reply.data.id}`", file=sys.stderr)
        return 1
    return 0


def sentence(order: Order) -> str:
    """An order in one line."""
    price = "at market" if order.price is None else f"at {digits(order.price)}"
    trigger = "" if order.trigger_price is None else f", triggered at {digits(order.trigger_price)}"
    filled = f", filled {digits(order.filled_quantity)}" if order.filled_quantity else ""
    average = f" at {digits(order.avg_fill_price)}" if order.avg_fill_price is not None else ""
    return (
        f"{order.id}: {order.state}: {order.side} {digits(order.quantity)} {order.symbol}"
        f" ({order.venue}) {order.type} {price}{trigger}{filled}{average}"
    )


def _row(order: Order) -> tuple[Any, ...]:
    return (
        order.created_at, order.id, order.strategy, order.venue, order.instrument_id,
        order.side, order.type, order.quantity, order.price, order.trigger_price,
        order.state, order.filled_quantity, order.avg_fill_price, order.reason,
    )  # fmt: skip
