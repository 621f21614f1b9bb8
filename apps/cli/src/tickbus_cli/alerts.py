"""Show what people are told of, the rules it comes from, and try a channel.

tickbus alerts                 what is wrong now, and what was
tickbus alerts --follow        what is wrong now, then what begins and ends, until Ctrl-C
tickbus alerts rules           what is watched, how, and who is told
tickbus alerts test slack      send a message through a channel now
"""

import argparse
import math
from collections.abc import Sequence
from datetime import datetime

from rich.table import Table

from tickbus_cli import gateway, showing
from tickbus_cli.errors import CliError
from tickbus_cli.stream import lines, raw, trouble
from tickbus_client import Client
from tickbus_client.answers.alerts import Alert, Alerts, Rule
from tickbus_client.calls import alerts

ACTIONS = ("list", "rules", "test")
COLUMNS = ("since", "severity", "alert", "count", "about", "told")
NOTHING = "nothing is wrong"
EXIT_CRITICAL = 3


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    gateway.configure(parser)
    gateway.add_json(parser)
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="list")
    parser.add_argument("channel", nargs="?", metavar="CHANNEL", help="with test: which one")
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on with what begins, changes and ends"
    )
    parser.add_argument(
        "--limit", type=int, default=20, metavar="N", help="of those that are over (default: 20)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked; `list` ends with 3 while something critical is active."""
    if arguments.follow and arguments.action != "list":
        raise CliError(f"{arguments.action} takes no --follow", exit_code=2)
    if arguments.action == "test":
        return _test(arguments)
    if arguments.channel:
        raise CliError(f"{arguments.action} takes no {arguments.channel!r}", exit_code=2)
    with gateway.the_desk(arguments) as desk:
        if arguments.follow:
            _follow(desk, as_json=arguments.json)
            return 0
        reply = desk.reply(alerts.listing(limit=arguments.limit))
    if arguments.json:
        showing.whole(reply)
    elif arguments.action == "rules":
        _show_rules(reply.data)
    else:
        _show(reply.data)
    critical = any(alert.severity == "CRITICAL" for alert in reply.data.active)
    return EXIT_CRITICAL if critical and arguments.action == "list" else 0


def _follow(desk: Client, *, as_json: bool) -> None:
    desk.operations.health()  # what was never there is an error; what goes away is waited for
    with desk.stream("alerts", patience_s=math.inf, on_trouble=trouble) as updates:
        for update in updates:
            nothing = update.kind == "snapshot" and update.data == {"alerts": []}
            for line in [raw(update)] if as_json else [NOTHING] if nothing else lines(update):
                print(line, flush=True)


def _test(arguments: argparse.Namespace) -> int:
    if not arguments.channel:
        raise CliError("which channel?", "Name it: tickbus alerts test CHANNEL.", exit_code=2)
    with gateway.the_desk(arguments) as desk:
        reply = desk.reply(alerts.test(arguments.channel))
    if arguments.json:
        showing.whole(reply)
    else:
        showing.draw(f"channel {reply.data.channel} ({reply.data.scheme}) took the message")
    return 0


def _show(found: Alerts) -> None:
    showing.draw(NOTHING if not found.active else _table("now", found.active))
    for alert in found.active:
        showing.draw(f"  {alert.title}: {alert.detail}")
        showing.draw(f"    what to do: {alert.remedy}")
    if found.recent:
        showing.draw("", _table("over", found.recent))
    if not found.channels:
        showing.draw("", "no channel is set, so nobody is told: see docs/alerts.md")
    for channel in found.channels:
        if channel.failures:
            showing.draw("", f"channel {channel.name} ({channel.scheme}): {channel.problem}")


def _table(title: str, found: Sequence[Alert]) -> Table:
    rows = [(_when(a.first_at), a.severity, a.title, a.count, a.subject, _told(a)) for a in found]
    return showing.table(COLUMNS, rows, title)


def _told(alert: Alert) -> str:
    words = []
    for each in alert.deliveries:
        late = " (given up)" if each.given_up else " (waits)" if each.waiting else ""
        words.append(f"{each.channel}{late}")
    return ", ".join(words) or "log"


def _when(at: datetime | None) -> str:
    return "" if at is None else at.astimezone().strftime("%m-%d %H:%M:%S")


def _show_rules(found: Alerts) -> None:
    names = ("rule", "when", "severity", "waits", "cools down", "tells", "only")
    showing.draw(showing.table(names, [_rule(rule) for rule in found.rules]))
    for channel in found.channels:
        showing.draw(f"channel {channel.name} ({channel.scheme}): from {channel.severity_min} on")


def _rule(rule: Rule) -> tuple[str, ...]:
    often = f" ({rule.at_least} times)" if rule.at_least > 1 else ""
    return (
        rule.name,
        rule.says,
        rule.severity if rule.enabled else "off",
        f"{rule.wait_s:g} s{often}",
        f"{rule.cooldown_s:g} s",
        ", ".join(rule.channels) or "log",
        "; ".join(f"{name} {value}" for name, value in rule.filters.items()),
    )
