"""Start the whole platform on this machine; Ctrl-C stops it in order, working orders first.

It continues from the stored books of its profile (.tickbus/sim, .tickbus/binance-paper, ...);
--fresh starts over.
"""

import argparse
import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import shlex
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
from dotenv import dotenv_values
from rich.console import Console
from rich.live import Live

from tickbus.bus import BusError
from tickbus.codec import MalformedMessage
from tickbus.config import Settings, load, nearest
from tickbus.events import TradingState
from tickbus.runtime.main import base36
from tickbus_cli import accessing, checking, choosing, examining
from tickbus_cli import profile as profiles
from tickbus_cli.datadir import DataDir
from tickbus_cli.errors import CliError
from tickbus_cli.further import further, moved, service_of
from tickbus_cli.live import confirm, refuse_withdrawals
from tickbus_cli.monitor import Snapshot
from tickbus_cli.profile import VENUES, Profile
from tickbus_cli.resume import sentence, trading_state
from tickbus_cli.running import Plan, Platform, Stopped
from tickbus_cli.screen import headline, render
from tickbus_cli.summary import sentences, summarise
from tickbus_execution.live import LIVE_CONFIRM
from tickbus_strategy.config import all_entries
from tickbus_strategy.making import terms_of

REFRESH_S = 0.5
LINE_EVERY_S = 5.0
HINT = "Ctrl-C stops: strategies first, then working orders are cancelled."


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add = parser.add_argument
    venue = (
        "sim (default); binance, binance-usdm (futures): live public data, orders on paper;"
        " binance-testnet, binance-usdm-testnet: play money"
    )
    yes = f"with --live: do not ask; only with {LIVE_CONFIRM}=VENUE in the environment"
    as_json = "one JSON object on standard output at the end, progress on standard error"
    files = "YAML file merged over the profile's; repeat for several"
    instrument = "with --strategy: it trades this one, such as BTC-USDT; repeat for several"
    add("--config", action="append", default=[], metavar="FILE", help=files)
    choosing.configure(parser)
    add("--instrument", action="append", default=[], metavar="ID", help=instrument)
    add("--venue", choices=VENUES, default="sim", help=venue)
    add(
        "--live", action="store_true",
        help="with --venue binance or binance-usdm: trade real money",
    )  # fmt: skip
    add("--yes", action="store_true", help=yes)
    add("--duration", type=_duration, metavar="TIME", help="end by itself after 30s, 5m, 1h30m")
    add("--json", action="store_true", help=as_json)
    add("--fresh", action="store_true", help="forget the stored books of this profile")
    add("--data-dir", type=Path, metavar="DIR", help="default: .tickbus/<profile>")
    add("--port-offset", type=int, default=0, metavar="N", help="add N to every port")
    add("--no-screen", action="store_true", help="lines instead of the live screen")
    add("--seed", type=int, metavar="S", help="seed of the simulated exchange's crowd")


def _duration(text: str) -> float:
    try:
        return profiles.duration_s(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


class Voice:
    """What the person at the terminal is told; a terminal that went away is not an error."""

    def __init__(self, to_stderr: bool) -> None:
        self.console = Console(stderr=to_stderr, highlight=False)

    def __call__(self, text: str, /) -> None:
        """Show one line."""
        with contextlib.suppress(OSError):
            self.console.print(text, markup=False, soft_wrap=True)


def run(arguments: argparse.Namespace) -> int:
    """Run the platform; 0 when it ended as asked."""
    say = Voice(to_stderr=arguments.json)
    environment = _environment()
    profile = profiles.choose(arguments.venue, arguments.live)
    files = profiles.configuration_files(
        profiles.find_configuration(Path.cwd()), profile, arguments.config
    )
    settings = _settings(files, environment)
    if arguments.strategy or arguments.params or arguments.instrument:
        settings = _narrowed(settings, arguments)
    else:
        choosing.require_sound_files(settings, examining.apart(settings.environment))
    venues = further(settings, profile.simulated, arguments.port_offset)
    separate = profiles.separate_strategies(settings)
    ports = profiles.ports(environment, arguments.port_offset, venues, separate)
    profiles.require_keys(profile, environment, [venue.name for venue in settings.venues])
    _require_packages(profile, ports.names)
    agreed: dict[str, str] = {}
    if profile.live:
        confirm(profile, settings, environment, arguments.yes, say)
        agreed = {LIVE_CONFIRM: settings.venues[0].name}
        refuse_withdrawals(settings, say)
    books = profiles.books_of(profile, settings)
    data = DataDir(arguments.data_dir or Path(".tickbus") / books)
    continues = data.open(books, arguments.fresh)
    try:
        if venues and profile.simulated:
            files = (*files, moved(data.path, settings, arguments.port_offset))
        if arguments.strategy:
            files = (*files, choosing.written(data.path, settings))
        plan = Plan(
            profile=profile,
            ports=ports,
            files=files,
            data=data,
            run_id=base36(time.time_ns() // 1_000_000),
            environment=environment | agreed,
            seed=arguments.seed,
            venue=settings.venue.name,
            configured={entry.id: terms_of(entry) for entry in all_entries(settings)},
            asked=_asked(arguments),
            access=accessing.access_of(settings, environment, profile.live),
            exchange=settings.section("exchange", profiles.ExchangeSection),
        )
        _log_to(data.log("up"))
        history = "continuing from the stored books" if continues else "starting with empty books"
        say(f"tickbus {profile.name}: {profile.says}; {history} in {data.path}")
        return asyncio.run(_run(plan, arguments, say))
    finally:
        data.close()


async def _run(plan: Plan, arguments: argparse.Namespace, say: Voice) -> int:
    platform = Platform(plan, say)
    _on_signals(platform, say)
    began = time.monotonic()
    failure: Exception | None = None
    started: float | None = None
    try:
        await platform.start()
        started = time.monotonic()
        late = ", ".join(platform.waiting)
        say(f"running; still waiting: {late}" if late else f"ready in {started - began:.1f} s")
        say(f"  desk     {platform.api_url}")
        say(f"  API      {platform.api_url}/docs   {platform.api_url}/health")
        say(f"  metrics  {platform.api_url}/metrics   (each service: ports"
            f" {plan.ports.metrics('feed')} to {plan.ports.metrics('alerts')})")  # fmt: skip
        for line in accessing.sentences(plan.access, platform.first_password):
            say(f"  {line}")
        say(f"  logs     {plan.data.path / 'logs'}")
        await _say_halted(platform, say)
        await _watch(platform, arguments, say, started)
    except Stopped:
        pass
    except Exception as error:  # noqa: BLE001 - first everything is stopped, then it is raised
        failure = error
    if platform.crash is not None:
        say(f"{platform.crash.name} ended unexpectedly; stopping everything else")
    await platform.stop()
    seconds = 0.0 if started is None else max(0.0, platform.last.taken_s - started)
    return _report(platform, arguments, say, seconds, failure)


async def _say_halted(platform: Platform, say: Voice) -> None:
    """A halt outlives restarts: whoever starts must know that nothing will be traded."""
    if platform.bus is None:
        return
    with contextlib.suppress(BusError, MalformedMessage):
        state = await trading_state(platform.bus)
        if state is not None and state.state is not TradingState.ACTIVE:
            say(f"{sentence(state)}; `tickbus resume` ends that")


def _report(
    platform: Platform,
    arguments: argparse.Namespace,
    say: Voice,
    seconds: float,
    failure: Exception | None,
) -> int:
    summary = summarise(
        platform.plan.profile.name,
        seconds,
        platform.books_before,
        platform.last,
        platform.crash,
        platform.left_working,
    )
    if seconds:
        for sentence in sentences(summary):
            say(sentence)
    say("stopped; nothing is left running")
    if arguments.json:
        print(json.dumps(summary | {"error": str(failure) if failure else None}))
    if isinstance(failure, OSError):
        what = f"{failure.filename}: {failure.strerror}" if failure.filename else str(failure)
        raise CliError(what, "Free the disk or change its permissions, or use --data-dir.")
    if failure is not None:
        raise failure
    if platform.crash is not None:
        raise platform.crash.error()
    return 1 if platform.left_working else 0


def _on_signals(platform: Platform, say: Voice) -> None:
    def stop() -> None:
        if platform.stopping.is_set():
            platform.hurry.set()
            return
        say("stopping (Ctrl-C again to hurry)")
        platform.stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)


async def _watch(
    platform: Platform, arguments: argparse.Namespace, say: Voice, started: float
) -> None:
    """Show the platform until it is to end; returns when `--duration` is over."""
    deadline = started + arguments.duration if arguments.duration else None
    on_screen = say.console.is_terminal and not (arguments.no_screen or arguments.json)
    title = f"tickbus {platform.plan.profile.name}   {platform.plan.profile.says}"
    live = Live(console=say.console, auto_refresh=False, transient=True) if on_screen else None
    if live is not None:
        live.start()
    before: Snapshot | None = None
    said = started
    try:
        while deadline is None or time.monotonic() < deadline:
            now = await platform.unless_stopped(platform.look())
            if live is not None:
                live.update(render(title, now, before, now.taken_s - started, HINT), refresh=True)
                before = now
            elif before is None or now.taken_s - said >= LINE_EVERY_S:
                say(f"{now.taken_s - started:6.0f} s  {headline(now, before)}")
                before, said = now, now.taken_s
            left = REFRESH_S if deadline is None else deadline - time.monotonic()
            await platform.unless_stopped(asyncio.sleep(max(0.0, min(REFRESH_S, left))))
    finally:
        if live is not None:
            live.stop()


def _environment() -> dict[str, str]:
    dotenv = {k: v for k, v in dotenv_values(".env").items() if v is not None}
    return {**dotenv, **os.environ}


def _asked(arguments: argparse.Namespace) -> str:
    """What of the command line is about strategies, as it could be typed again."""
    if not arguments.strategy:
        return ""
    parts = ["--strategy", arguments.strategy]
    parts += ["--params", *arguments.params] if arguments.params else []
    parts += [part for name in arguments.instrument for part in ("--instrument", name)]
    return shlex.join(parts)


def _settings(files: tuple[Path, ...], environment: dict[str, str]) -> Settings:
    # Read once here, so that a typo is one message before anything starts, not one per service.
    settings = load(files, {**environment, "TICKBUS_POSTGRES_DSN": ""})
    checking.check(settings)
    return settings


def _narrowed(settings: Settings, arguments: argparse.Namespace) -> Settings:
    """With the strategy alone that was asked for."""
    wanted = tuple(arguments.instrument)
    if wanted and not arguments.strategy:
        raise CliError("--instrument: for which strategy?", "Name it with --strategy.", exit_code=2)
    known = settings.venue.instruments
    for name in wanted:
        if name not in known:
            hint = nearest(name, known, "instruments")
            raise CliError(f"--instrument {name}: not at {settings.venue.name}", hint, exit_code=2)
    # This process knows the keys of venues: somebody's file is not to run in it.
    examine = examining.apart(settings.environment)
    entries = choosing.chosen(settings, arguments.strategy, arguments.params, known, examine)
    if wanted:
        entries = [msgspec.structs.replace(entry, instruments=wanted) for entry in entries]
    return choosing.narrowed(settings, entries)


def _require_packages(profile: Profile, processes: Sequence[str]) -> None:
    names = list(dict.fromkeys(map(service_of, processes)))
    names += ["exchange"] if profile.simulated else []
    missing = [n for n in names if importlib.util.find_spec(f"tickbus_{n}") is None]
    if missing:
        raise CliError(
            f"not installed: {', '.join(f'tickbus-{n}' for n in missing)}",
            "Run `make setup`, then repeat.",
        )


def _log_to(path: Path) -> None:
    # The bus client's own words belong in a file, not on the live screen.
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.getLogger().handlers[:] = [handler]
