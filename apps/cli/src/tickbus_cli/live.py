"""Before real money is traded: say where, what, with which leverage, and let a person agree."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from tickbus.config import Settings, VenueConfig
from tickbus_cli.doctor import venues
from tickbus_cli.doctor.finding import Level
from tickbus_cli.errors import CliError
from tickbus_cli.profile import Profile
from tickbus_cli.saying import Say
from tickbus_execution.config import ExecutionConfig
from tickbus_execution.live import LIVE_CONFIRM
from tickbus_killswitch.rest import Deadline, Rest, VenueFailure
from tickbus_killswitch.signing import BadSecretError, signer
from tickbus_killswitch.usdm import TIME_PATH
from tickbus_killswitch.venue import symbols_of

CONFIRM_WORD = "LIVE"
TIMEOUT_S = 5.0
FUTURES = "binance-usdm"
HEDGE = (
    "HEDGE: tickbus will trade nothing before it is one-way"
    " (at the venue: Preferences > Position Mode)"
)


def confirm(
    profile: Profile, settings: Settings, environment: Mapping[str, str], yes: bool, say: Say
) -> None:
    """Say what is about to be traded and let a person, or the environment, agree to it."""
    raw: dict[str, Any] = dict(settings.raw)
    say("About to trade REAL MONEY:")
    for venue in settings.venues:
        say(f"  venue        {venue.name} ({venue.rest_url})")
        say(f"  instruments  {', '.join(venue.instruments)}")
        if venue.adapter == FUTURES:
            for line in asyncio.run(margin_lines(settings, venue)):
                say(f"  {line}")
    for name in ("strategies", "risk"):
        text = yaml.safe_dump(raw.get(name) or "none", sort_keys=False).removesuffix("...\n")
        say(f"  {name}:\n" + "\n".join(f"    {line}" for line in text.strip().splitlines()))
    if yes:
        if environment.get(LIVE_CONFIRM) != profile.venue:
            raise CliError(
                f"--yes needs {LIVE_CONFIRM}={profile.venue} in the environment",
                "Set it, or leave --yes out and type the word.",
            )
        return
    if not sys.stdin.isatty():
        raise CliError(
            "live trading asks for confirmation, and there is no terminal to ask at",
            f"Scripts use --yes together with {LIVE_CONFIRM}={profile.venue}.",
        )
    try:
        typed = input(f"Type {CONFIRM_WORD} to go on: ")
    except EOFError:
        typed = ""
    if typed.strip() != CONFIRM_WORD:
        raise CliError("not confirmed: nothing was started", "", 1)


def refuse_withdrawals(settings: Settings, say: Say) -> None:
    """Refuse to trade with keys that could take the money away. Raises CliError.

    What else is to be said of them is said; also that the venue did not tell, and that such keys
    are allowed.
    """
    allowed = settings.section("execution", ExecutionConfig).withdrawing_key == "allow"
    for venue in settings.venues:
        for found in asyncio.run(venues.keys(settings, venue)):
            if not allowed and found.level is Level.BAD and venues.WITHDRAW in found.says:
                raise CliError(f"{found.check}: {found.says}", f"Remedy: {found.remedy}.")
            if found.remedy:
                say(f"{found.check}: {found.says}; {found.remedy}")


async def margin_lines(settings: Settings, venue: VenueConfig) -> list[str]:
    """How the account is set: leverage and margin of each instrument, its position mode.

    The venue's word, as far as it gives it; tickbus changes none of it.
    """
    key, secret = settings.venue_keys(venue)
    try:
        rest = Rest(venue.rest_url, key, signer(secret), TIME_PATH, TIMEOUT_S)
    except BadSecretError as error:
        return [f"leverage     not known: {error}"]
    rest.deadline = Deadline(TIMEOUT_S)
    try:
        async with asyncio.timeout(2 * TIMEOUT_S):
            settings_of = await rest.ask("GET", "/fapi/v1/symbolConfig")
            mode = await rest.ask("GET", "/fapi/v1/positionSide/dual")
        hedged = mode["dualSidePosition"] is True
        return [*_leverages(settings_of, venue), f"position     {HEDGE if hedged else 'one-way'}"]
    except (VenueFailure, TimeoutError) as error:
        return [f"leverage     not known: {str(error) or 'no answer'}; look at the venue"]
    except (KeyError, TypeError) as error:
        return [f"leverage     not known: the venue's answer has another shape ({error!r})"]
    finally:
        await rest.close()


def _leverages(configured: Sequence[Mapping[str, Any]], venue: VenueConfig) -> list[str]:
    found = {str(each["symbol"]): each for each in configured}
    lines = []
    for symbol in symbols_of(venue.instruments):
        if symbol not in found:
            lines.append(f"leverage     {symbol}: not known to the venue")
            continue
        margin = "cross" if found[symbol]["marginType"] == "CROSSED" else "isolated"
        lines.append(f"leverage     {symbol}: {found[symbol]['leverage']}x, {margin} margin")
    return lines
