"""The entry point that every service shares: configuration, logs, health, bus, signals."""

import argparse
import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tickbus import scheduling, shard, subjects, tracing
from tickbus.backoff import delays_s
from tickbus.bus import Bus, BusError, BusRefused, MemoryBus, NatsBus
from tickbus.config import ConfigError, Settings, load
from tickbus.credentials import SEALERS
from tickbus.events import LogLevel
from tickbus.runtime import logs
from tickbus.runtime.http import HttpServer, health_app
from tickbus.runtime.rehearsal import Rehearsal
from tickbus.runtime.seat import Seat
from tickbus.runtime.shell import Shell
from tickbus.runtime.spec import ServiceSpec
from tickbus.runtime.telemetry import Pauses, Reading, Telemetry
from tickbus.runtime.telling import LogTeller
from tickbus.seal import Seal

if TYPE_CHECKING:
    from tickbus.traces.tracer import Tracer

Build = Callable[[Settings], ServiceSpec]
METRICS_PORTS = {
    "feed": 9101, "book": 9102, "strategy": 9103, "risk": 9104, "execution": 9105, "ledger": 9106,
    "api": 9107, "history": 9108, "killswitch": 9109, "router": 9110,
    "alerts": 9111,
}  # fmt: skip
EXIT_BUG = 1
EXIT_CONFIG = 2


def main(name: str, build: Build, *, sharded: bool = False) -> None:
    """Run the service `name`; ends the process with 0, 1 (something broke) or 2 (configuration).

    `sharded`: several processes may share the instruments.
    """
    parser = argparse.ArgumentParser(prog=f"python -m tickbus_{name}")
    parser.add_argument(
        "--config", action="append", default=[], metavar="FILE",
        help="YAML file; repeat to merge several (default: $TICKBUS_CONFIG or config/default.yaml)",
    )  # fmt: skip
    if sharded:
        parser.add_argument(
            "--shard", default=os.environ.get(shard.VARIABLE, ""), metavar="I/N",
            help="this process's part of the instruments (default: $TICKBUS_SHARD; else the number"
            " at the end of $TICKBUS_INSTANCE, of $TICKBUS_SHARDS; else all)",
        )  # fmt: skip
    arguments = parser.parse_args()
    if sharded:
        os.environ[shard.VARIABLE] = arguments.shard
    sys.exit(run(name, build, arguments.config))


def run(name: str, build: Build, files: Sequence[str | Path], *, alone: bool = False) -> int:
    """Run the service `name` to its end; its exit code.

    `alone`: without a bus, for what a service does besides publishing, such as recording.
    """
    logs.configure(
        name, os.environ.get("TICKBUS_LOG_FORMAT", ""), os.environ.get("TICKBUS_LOG_LEVEL", "")
    )
    log = logging.getLogger(f"tickbus.{name}")
    try:
        place = scheduling.checked(os.environ.get(scheduling.VARIABLE) or "normal")
        run_id = os.environ.get("TICKBUS_RUN_ID") or base36(time.time_ns() // 1_000_000)
        instance = os.environ.get("TICKBUS_INSTANCE") or _name_of_process()
        settings = load(files, run_id=run_id, instance=instance)
        return _run(_serve(name, build, settings, log, place, alone))
    except ConfigError as error:
        log.critical("%s", error)
        return EXIT_CONFIG


def _name_of_process() -> str:
    # In a container every service is process 1, and the host's name is the container's.
    return socket.gethostname() if os.getpid() == 1 else str(os.getpid())


def base36(number: int) -> str:
    """`number` in digits and lower-case letters: short enough for client order ids."""
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = digits[digit] + text
    return text or "0"


def _run(coroutine: Coroutine[Any, Any, int]) -> int:
    try:
        import uvloop
    except ImportError:  # not built for this platform
        return asyncio.run(coroutine)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


async def _serve(
    name: str, build: Build, settings: Settings, log: logging.Logger, place: str, alone: bool
) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    scheduling.serve_in(place)
    seal = _seal(name, settings)
    spec = _telling(_rehearsing(build(settings), settings, seal), settings)
    telemetry = Telemetry(name)
    shell: Shell | None = None

    def waiting() -> dict[str, str]:
        return {"bus": f"NATS at {settings.bus_url}"} if shell is None else shell.waiting()

    pauses = Pauses()
    pauses.watch()
    telemetry.readers.append(pauses.read)
    server = metrics_server(name, telemetry, settings.environment, waiting)
    await server.start()
    bus: Bus | None = MemoryBus()
    if not alone:
        bus = await _connect(settings, f"tickbus-{name}", stopping, log)
    if bus is None:
        await server.stop()
        return 0
    if isinstance(bus, NatsBus):
        _measure(bus, telemetry)
    url = f"http://{server.host}:{server.port}/metrics"
    tracer = _tracer(name, settings, telemetry)
    shell = Shell(
        spec, bus, instance=settings.instance, telemetry=telemetry, metrics_url=url,
        platform=settings.platform, seal=seal, venue=settings.further_venue,
        tracer=tracer,
    )  # fmt: skip
    shell.stopping = stopping
    shell.seat = Seat(spec.durable or spec.name) if spec.stands_by and not alone else None
    if isinstance(bus, NatsBus):
        bus.on_taken_over = _ending(shell)
    # What lives now lives to the end; the collector need not look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        await shell.run_until_stopped()
    except ConfigError:
        raise
    except BusError as error:
        log.critical("%s", error)
        return EXIT_BUG
    except Exception as error:
        if shell.failure is None:
            log.critical("could not start: %r", error, exc_info=error)
        return EXIT_BUG
    finally:
        await bus.close()
        if tracer is not None:
            await asyncio.to_thread(tracer.stop)
        await server.stop()
    log.info("stopped")
    return 0


def _measure(bus: NatsBus, telemetry: Telemetry) -> None:
    bus.on_slow = lambda subject: telemetry.error("messages_lost_by_being_slow")
    bus.on_denied = lambda subject: telemetry.error("bus_permission_denied")
    telemetry.readers.append(lambda: starmap(Reading, bus.measure()))
    telemetry.told.append(lambda: starmap(Reading, bus.behind()))


def _rehearsing(spec: ServiceSpec, settings: Settings, seal: Seal | None) -> ServiceSpec:
    every_s = settings.platform.rehearse_every_ms / 1000
    if spec.rehearse is None or not every_s:
        return spec
    venue = settings.venue
    rehearsal = Rehearsal(
        spec.name, settings.instance, spec.rehearse, every_s, venue.name, venue.instruments[0],
        seal, of_approvals=subjects.approved(venue.name) in spec.consume,
    )  # fmt: skip
    return replace(spec, edges=(*spec.edges, rehearsal))


def _telling(spec: ServiceSpec, settings: Settings) -> ServiceSpec:
    wanted = settings.platform.logs_told
    if wanted == "off":
        return spec
    teller = LogTeller(spec.name, settings.instance, LogLevel(wanted))
    logging.getLogger().addHandler(teller)
    return replace(spec, edges=(teller, *spec.edges))


def _tracer(name: str, settings: Settings, telemetry: Telemetry) -> "Tracer | None":
    """What tells of orders to a collector; without one in the environment nothing is loaded."""
    if not tracing.is_wanted(settings.environment):
        return None
    from tickbus.traces.tracer import Tracer

    tracer = Tracer.of(settings.environment, name, settings.instance, telemetry)
    if tracer is not None:
        tracer.start()
    return tracer


def _seal(name: str, settings: Settings) -> Seal | None:
    """What risk seals its approvals with and execution checks. Raises ConfigError."""
    if name not in SEALERS:
        return None
    keys = settings.secret("approval_key")
    if not keys:
        if settings.bus_login is not None:
            logging.getLogger(f"tickbus.{name}").warning(
                "TICKBUS_APPROVAL_KEY is not set: approvals are believed by their subject alone"
            )
        return None
    try:
        return Seal(keys)
    except ValueError as error:
        raise ConfigError(f"TICKBUS_APPROVAL_KEY: {error}") from error


def _ending(shell: Shell) -> Callable[[str], None]:
    def end(durable: str) -> None:
        error = BusError(f"another process reads as {durable!r} now: two would do everything twice")
        shell.fail(error, "reading the ORDERS stream")

    return end


def metrics_server(
    name: str,
    telemetry: Telemetry,
    environment: Mapping[str, str],
    waiting: Callable[[], dict[str, str]],
) -> HttpServer:
    """The server for /metrics, /healthz and /readyz, on the port the environment names."""
    app = health_app(telemetry.registry, waiting, partial(notes_of, telemetry))
    return HttpServer(app, *metrics_address(name, environment))


def notes_of(telemetry: Telemetry) -> dict[str, str]:
    """What somebody should look at although the service is ready."""
    dead = int(telemetry.gauges.get("dead_letters", 0))
    return {"dead_letters": f"{dead} given up: see `tickbus dead-letters`"} if dead else {}


def metrics_address(name: str, environment: Mapping[str, str]) -> tuple[str, int]:
    """Where a service serves its health and metrics. Raises ConfigError."""
    host = environment.get("TICKBUS_METRICS_HOST", "127.0.0.1")
    text = environment.get("TICKBUS_METRICS_PORT", str(METRICS_PORTS.get(name, 0)))
    if not text.isdigit() or int(text) > 65_535:
        raise ConfigError(f"TICKBUS_METRICS_PORT={text!r}: must be a port, 0 for any free one")
    return host, int(text)


async def _connect(
    settings: Settings, name: str, stopping: asyncio.Event, log: logging.Logger
) -> NatsBus | None:
    """Connect to NATS however long it takes; None when told to stop meanwhile.

    Raises ConfigError when it does not know us: waiting would not help.
    """
    said, replicas = 0.0, settings.bus_replicas
    for delay_s in delays_s(0.1, 5.0):
        try:
            return await NatsBus.connect(
                settings.bus_url, name, settings.bus_login, replicas=replicas
            )
        except BusRefused as error:
            raise ConfigError(str(error)) from error
        except BusError as error:
            if time.monotonic() - said > 10:
                log.warning("waiting: %s; start it or set TICKBUS_NATS_URL", error)
                said = time.monotonic()
        try:
            await asyncio.wait_for(stopping.wait(), delay_s)
            return None
        except TimeoutError:
            continue
    return None
