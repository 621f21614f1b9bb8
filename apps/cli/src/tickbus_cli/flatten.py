"""Close everything that is held, or what one strategy holds: says what it would do, then asks.

tickbus flatten --reason "going home"
tickbus flatten --strategy momentum --reason "wrong parameters" --yes

Trading is halted, working orders are cancelled and positions closed at market; it stays halted
until `tickbus resume`. `tickbus kill --flatten` needs neither gateway nor risk.
"""

import argparse
import json
import sys

from tickbus_cli import gateway, showing
from tickbus_cli.errors import CliError
from tickbus_cli.risk import told
from tickbus_client.answers.risk import FlattenPlan

WORD = "FLATTEN"
COLUMNS = ("venue", "symbol", "side", "quantity", "mark", "value")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--strategy", default="", metavar="ID", help="only what this one holds")
    parser.add_argument("--reason", required=True, help="why, for the record")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    gateway.configure(parser)
    gateway.add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Show the plan, ask, and do it; 0 once risk is at it."""
    out = sys.stderr if arguments.json else sys.stdout
    with gateway.the_desk(arguments) as desk:
        plan = desk.risk.flatten(
            arguments.reason, strategy=arguments.strategy, actor=gateway.actor()
        )
        if not arguments.json:
            _show(plan)
        if not arguments.yes:
            _confirm()
        after = desk.risk.confirm_flatten(plan.token)
    if arguments.json:
        done = {"state": after.state, "confirmed": not after.unconfirmed}
        print(json.dumps({**done, "cancels": plan.cancels, "closes": len(plan.closes)}))
    if not (code := told(after.unconfirmed)):
        what = f"what {arguments.strategy} holds" if arguments.strategy else "everything"
        print(f"risk closes {what}; trading stays halted until `tickbus resume`", file=out)
    return code


def _show(plan: FlattenPlan) -> None:
    rows = [(c.venue, c.symbol, c.side, c.quantity, c.mark, c.value) for c in plan.closes]
    cancels = f"{len(plan.cancels)} working orders would be cancelled"
    if not rows:
        showing.draw(f"{cancels}; nothing is held")
        return
    worth = f"worth {plan.value:,.2f} {plan.currency}"
    showing.draw(
        f"{cancels}; {len(rows)} positions {worth} would be closed at market:",
        showing.table(COLUMNS, rows),
    )


def _confirm() -> None:
    if not sys.stdin.isatty():
        raise CliError("it asks before it acts, and there is no terminal to ask at", "Use --yes.")
    print(f"Type {WORD} to do it: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != WORD:
        raise CliError("not confirmed: nothing was done", "", 1)
