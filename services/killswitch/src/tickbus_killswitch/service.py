"""The service: a process of its own that starts and acts without bus, database or neighbours."""

import argparse
import asyncio
import logging
import os
import signal
import sys

from tickbus import scheduling
from tickbus.config import ConfigError, Settings
from tickbus.kill_api import TOKEN
from tickbus.runtime import HttpServer, Telemetry, logs
from tickbus.runtime.main import EXIT_CONFIG, metrics_address
from tickbus_killswitch.config import KillConfig
from tickbus_killswitch.kill import read_settings, targets_of
from tickbus_killswitch.server import KillSwitch, create_app

NAME = "killswitch"
log = logging.getLogger("tickbus.killswitch")


def main() -> None:
    """Run until SIGTERM or SIGINT; ends the process with 0, or 2 for the configuration."""
    parser = argparse.ArgumentParser(prog=f"python -m tickbus_{NAME}")
    parser.add_argument(
        "--config", action="append", default=[], metavar="FILES",
        help=f"one account: YAML files joined by {os.pathsep!r}; repeat for several accounts"
        " (default: $TICKBUS_CONFIG or config/default.yaml)",
    )  # fmt: skip
    arguments = parser.parse_args()
    logs.configure(
        NAME, os.environ.get("TICKBUS_LOG_FORMAT", ""), os.environ.get("TICKBUS_LOG_LEVEL", "")
    )
    try:
        place = scheduling.checked(os.environ.get(scheduling.VARIABLE) or "normal")
        settings = read_settings(arguments.config)
        asyncio.run(_serve(settings, place))
    except ConfigError as error:
        log.critical("%s", error)
        sys.exit(EXIT_CONFIG)


async def _serve(settings: list[Settings], place: str) -> None:
    first = settings[0]
    token = first.secret(TOKEN)
    if not token:
        raise ConfigError(
            "TICKBUS_KILL_TOKEN is not set: choose a secret for POST /kill (or name a file that"
            " holds it with TICKBUS_KILL_TOKEN_FILE)"
        )
    targets = targets_of(settings)
    config = first.section(NAME, KillConfig)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    scheduling.serve_in(place)
    instance = os.environ.get("TICKBUS_INSTANCE") or str(os.getpid())
    switch = KillSwitch(targets, config, Telemetry(NAME), instance)
    server = HttpServer(create_app(switch, token), *metrics_address(NAME, first.environment))
    await server.start()
    log.info(
        "ready on http://%s:%d/kill for %s", server.host, server.port,
        ", ".join(f"{t.name} ({t.rest_url}, {t.orders})" for t in targets),
    )  # fmt: skip
    urls = dict.fromkeys(target.bus_url for target in targets)
    followers = [asyncio.create_task(switch.follow(url)) for url in urls]
    await stopping.wait()
    await switch.finished()
    for follower in followers:
        follower.cancel()
    await asyncio.gather(*followers, return_exceptions=True)
    await server.stop()
    log.info("stopped")
