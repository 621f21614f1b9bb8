"""The service: a process of its own that starts and acts without bus, database or neighbours."""

import argparse
import asyncio
import logging
import os
import signal
import sys

import msgspec

from tickbus import scheduling
from tickbus.config import ConfigError, Settings
from tickbus.ending import end
from tickbus.kill_api import TOKEN, KillRequest
from tickbus.runtime import HttpServer, Telemetry, logs
from tickbus.runtime.main import EXIT_CONFIG, metrics_address
from tickbus_killswitch.config import KillConfig
from tickbus_killswitch.kill import kill, read_settings, targets_of
from tickbus_killswitch.server import KillSwitch, create_app

NAME = "killswitch"
log = logging.getLogger("tickbus.killswitch")


def main() -> None:
    """Run until SIGTERM or SIGINT; ends the process with 0, or 2 for the configuration.

    With `--now` kill once instead, write the report as JSON, and end with its exit code: for who
    can get into the container, where the keys are, while nothing answers any more.
    """
    parser = argparse.ArgumentParser(prog=f"python -m tickbus_{NAME}")
    parser.add_argument(
        "--config", action="append", default=[], metavar="FILES",
        help=f"one account: YAML files joined by {os.pathsep!r}; repeat for several accounts"
        " (default: $TICKBUS_CONFIG or config/default.yaml)",
    )  # fmt: skip
    parser.add_argument(
        "--now", action="store_true", help="kill once, here, and end; nothing listens"
    )
    parser.add_argument("--flatten", action="store_true", help="with --now: close positions, too")
    parser.add_argument(
        "--reason", default="", help="with --now: kept with the trading state HALTED"
    )
    arguments = parser.parse_args()
    if not arguments.now and (arguments.flatten or arguments.reason):
        parser.error("--flatten and --reason belong to --now")
    logs.configure(
        NAME, os.environ.get("TICKBUS_LOG_FORMAT", ""), os.environ.get("TICKBUS_LOG_LEVEL", "")
    )
    try:
        place = scheduling.checked(os.environ.get(scheduling.VARIABLE) or "normal")
        settings = read_settings(arguments.config)
        if arguments.now:
            request = KillRequest(
                reason=arguments.reason, flatten=arguments.flatten, actor=f"{NAME} --now"
            )
            sys.exit(asyncio.run(_once(settings, request)))
        asyncio.run(_serve(settings, place))
    except ConfigError as error:
        log.critical("%s", error)
        sys.exit(EXIT_CONFIG)


async def _once(settings: list[Settings], request: KillRequest) -> int:
    config = settings[0].section(NAME, KillConfig)
    report = await kill(targets_of(settings), request, config, log.warning)
    sys.stdout.write(f"{msgspec.json.encode(report).decode()}\n")
    return report.exit_code


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
    switch.telemetry.gauge("ready", 1)
    log.info(
        "ready on http://%s:%d/kill for %s", server.host, server.port,
        ", ".join(f"{t.name} ({t.rest_url}, {t.orders})" for t in targets),
    )  # fmt: skip
    urls = dict.fromkeys(target.bus_url for target in targets)
    followers = [asyncio.create_task(switch.follow(url)) for url in urls]
    await stopping.wait()
    await switch.finished()
    await end(followers)
    await server.stop()
    log.info("stopped")
