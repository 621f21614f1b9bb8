"""Show a running platform, from another terminal.

One on this machine is asked over its bus, also while its gateway is away; one elsewhere, of
--api-url or TICKBUS_API_URL, over its gateway. Exit code 1: a service is not ready.
"""

import argparse
import asyncio
import json
import logging
import os
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from tickbus.bus import NatsBus
from tickbus.login import Login
from tickbus_cli import datadir, gateway, logins, screen, showing
from tickbus_cli.datadir import EXCHANGE
from tickbus_cli.further import service_of
from tickbus_cli.monitor import Snapshot, observe, rate
from tickbus_cli.summary import money, summarise
from tickbus_client.answers.operations import Service
from tickbus_client.calls import operations
from tickbus_client.credentials import URL

APART_S = 0.5
COLUMNS = ("service", "instance", "state", "version", "up", "errors")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    gateway.configure(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ask the platform and show what it says; 0 when every service is ready."""
    if arguments.api_url or (arguments.data_dir is None and os.environ.get(URL)):
        return _over_the_gateway(arguments)
    # The bus client talks of its connection to a log; this command has nobody to read it.
    logging.getLogger().addHandler(logging.NullHandler())
    directory, facts = datadir.find(arguments.data_dir)
    processes = tuple(name for name in facts["services"] if service_of(name) != EXCHANGE)
    login = logins.operator(directory)
    before, now = asyncio.run(_observe(facts["nats_url"], login, processes))
    title = f"tickbus {facts['profile']} (pid {facts['pid']})  API {facts['api_url']}"
    if arguments.json:
        print(json.dumps(_report(facts, directory, before, now), default=str))
    else:
        console = Console()
        console.print(screen.render(title, now, before, _uptime_s(now)))
    return 1 if screen.troubled(now) else 0


def _over_the_gateway(arguments: argparse.Namespace) -> int:
    with gateway.the_desk(arguments) as desk:
        reply = desk.reply(operations.status())
        if arguments.json:
            showing.whole(reply)
        else:
            account = desk.books.portfolio()
            risk = reply.data.risk
            stands = "risk says nothing" if risk is None else f"trading is {risk.state}"
            showing.draw(
                f"tickbus at {gateway.url_of(arguments)}: {stands}",
                f"{account.orders:,} orders ({account.working_orders} working),"
                f" {account.fills:,} fills, net P&L {money(account.net_pnl, account.currency)}",
                showing.table(COLUMNS, [_row(each) for each in reply.data.services]),
            )
    services = reply.data.services
    return 0 if services and all(each.ready for each in services) else 1


def _row(service: Service) -> tuple[object, ...]:
    state = "ready" if service.ready else f"waiting for {service.waiting_for}"
    return (
        service.service, service.instance, state, service.version, screen.clock(service.uptime_s),
        sum(service.errors.values()),
    )  # fmt: skip


async def _observe(
    url: str, login: Login | None, processes: tuple[str, ...]
) -> tuple[Snapshot, Snapshot]:
    bus = await NatsBus.connect(url, f"tickbus-status-{os.getpid()}", login)
    try:
        before = await observe(bus, processes)
        await asyncio.sleep(APART_S)
        return before, await observe(bus, processes, processes)
    finally:
        await bus.close()


def _uptime_s(now: Snapshot) -> float:
    return max((status.uptime_s for status in now.services.values()), default=0.0)


def _report(
    facts: dict[str, Any], directory: Path, before: Snapshot, now: Snapshot
) -> dict[str, Any]:
    seconds = now.taken_s - before.taken_s
    summary = summarise(facts["profile"], _uptime_s(now), None, now, None)
    return summary | {
        "ticks_per_s": round(rate(before.ticks, now.ticks, seconds), 1),
        "data_dir": str(directory),
        "platform": facts,
        "ready": not screen.troubled(now),
        "services": {name: msgspec.structs.asdict(status) for name, status in now.services.items()},
    }
