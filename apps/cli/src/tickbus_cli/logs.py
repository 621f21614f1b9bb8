"""Show what services logged, the newest at the end; -f goes on as they do, until Ctrl-C.

tickbus logs
tickbus logs -f --level error
tickbus logs --service risk --since 2026-11-21T18:00 --json

Services tell the gateway warnings and above unless `platform.logs_told` says otherwise; the log
files have everything.
"""

import argparse
import math

import msgspec

from tickbus_cli import gateway, showing
from tickbus_cli.stream import log_line, trouble
from tickbus_cli.times import moment
from tickbus_client import Client
from tickbus_client.answers.operations import LogLine, Logs
from tickbus_client.calls import operations

LEVELS = ("info", "warning", "error", "critical")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is new")
    parser.add_argument("--level", choices=LEVELS, default="info", help="this one and above")
    parser.add_argument("--service", default="", metavar="NAME", help="only of this one")
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="the newest N")
    showing.add_since(parser)
    gateway.configure(parser)
    gateway.add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print lines; 0 also where there are none."""
    with gateway.the_desk(arguments) as desk:
        if arguments.follow:
            _follow(desk, arguments)
            return 0
        call = operations.logs(
            level=arguments.level, service=arguments.service, limit=arguments.limit,
            since=arguments.since or None,
        )  # fmt: skip
        for line in reversed(desk.call(call).logs):
            _print(line, arguments.json)
    return 0


def _follow(desk: Client, arguments: argparse.Namespace) -> None:
    since = moment(arguments.since)
    desk.operations.health()  # what was never there is an error; what goes away is waited for
    topic = f"logs:{arguments.level}"
    with desk.stream(topic, patience_s=math.inf, on_trouble=trouble) as updates:
        for update in updates:
            if update.kind not in ("snapshot", "delta"):
                trouble(f"logs: {update.kind}", 0.0)
                continue
            for line in reversed(update.read(Logs).logs):
                if arguments.service not in ("", line.service):
                    continue
                if since is None or (line.at is not None and line.at >= since):
                    _print(line, arguments.json)


def _print(line: LogLine, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode(line).decode(), flush=True)
        return
    if line.left_out:
        print(f"… {line.left_out} lines of {line.service} were too many at once", flush=True)
    print(log_line(line), flush=True)
    if line.exception:
        print(line.exception.rstrip(), flush=True)
