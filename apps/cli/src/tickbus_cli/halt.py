"""Stop trading at once: nothing new passes risk, working orders are cancelled.

tickbus halt --reason "odd fills"
tickbus halt --strategy momentum --flatten --reason "wrong parameters"
tickbus halt --reducing --reason "winding down"
"""

import argparse

from tickbus_cli import gateway
from tickbus_cli.risk import told
from tickbus_client.calls.risk import TradingState


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    gateway.configure(parser)
    parser.add_argument("--strategy", metavar="ID", help="only this one")
    gateway.add_force(parser)
    parser.add_argument("--reason", required=True, help="why, for the record")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--flatten", action="store_true", help="also close what is held")
    how.add_argument(
        "--reducing", action="store_true",
        help="cancel nothing, and let orders pass that shrink a position",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Halt; 0 once risk enforces it."""
    state: TradingState = "REDUCING" if arguments.reducing else "HALTED"
    with gateway.the_desk(arguments) as desk:
        answer = desk.risk.set_state(
            state,
            arguments.reason,
            strategy=arguments.strategy or "",
            flatten=arguments.flatten,
            actor=gateway.actor(),
            even_if_unknown=arguments.even_if_unknown,
        )
    what = f"strategy {arguments.strategy}" if arguments.strategy else "everything"
    if not (code := told(answer.unconfirmed)):
        print(f"{what}: {state}")
    return code
