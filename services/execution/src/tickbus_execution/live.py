"""Before real money is traded: what will be traded, and that somebody has said that it is meant.

Execution does not start without that. `python -m tickbus_execution.live` says it all: it ends with
0, or with 2 and the remedy where something is missing.
"""

import sys
from collections.abc import Iterator

import yaml

from tickbus.config import ConfigError, Settings, load

LIVE_CONFIRM = "TICKBUS_LIVE_CONFIRM"
SIMULATED_KEY = "sim-key"
"""What Compose gives where nobody says otherwise; it opens the simulated exchange only."""


def facts(settings: Settings) -> Iterator[str]:
    """Where, what and within which limits it trades, a line each."""
    yield f"REAL MONEY, platform {settings.platform.name!r}:"
    for venue in settings.venues:
        yield f"  venue        {venue.name} ({venue.rest_url})"
        yield f"  instruments  {', '.join(venue.instruments)}"
    for name in ("strategies", "risk"):
        text = yaml.safe_dump(settings.raw.get(name) or "none", sort_keys=False)
        yield f"  {name}:"
        yield from (f"    {line}" for line in text.removesuffix("...\n").strip().splitlines())


def missing(settings: Settings) -> Iterator[str]:
    """What is still to be said before it may trade, with the remedy."""
    if settings.platform.mode != "live":
        yield (
            f"platform.mode is {settings.platform.mode!r}, which trades no real money: name the"
            " venue's live configuration in TICKBUS_CONFIG (see .env.example), or leave the profile"
            " `live` out"
        )
    for venue in settings.venues:
        key, secret = settings.venue_keys(venue)
        if not key or not secret or (key == SIMULATED_KEY and venue.rest_url.startswith("https:")):
            yield (
                f"there is no key for {venue.name}: set TICKBUS_VENUE_API_KEY and"
                " TICKBUS_VENUE_API_SECRET to one that may trade and not withdraw"
            )
    if problem := unagreed(settings):
        yield problem


def unagreed(settings: Settings) -> str:
    """Why real money of this platform may not be traded; "" where it may, or is not."""
    meant, agreed = settings.venues[0].name, settings.environment.get(LIVE_CONFIRM, "")
    if settings.platform.mode != "live" or agreed == meant:
        return ""
    return (
        f"platform.mode is 'live' and {LIVE_CONFIRM} is {agreed!r}: set it to {meant!r} in the"
        " environment of execution to say that real money is meant, or platform.mode to paper"
    )


def main() -> int:
    """Say it all; 0 where nothing is missing."""
    try:
        settings = load()
        for line in facts(settings):
            sys.stdout.write(f"{line}\n")
        wrong = list(missing(settings))
    except ConfigError as error:
        wrong = [str(error)]
    for line in wrong:
        sys.stderr.write(f"live: {line}\n")
    return 2 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
