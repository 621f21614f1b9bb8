"""The venues: clocks that agree, and keys that can do no more than they must.

Sources: Binance, `GET /api/v3/time` and `GET /fapi/v1/time`; of the keys see `tickbus.venue_keys`.
"""

import time
from typing import Any
from urllib.parse import urlsplit

import httpx

from tickbus import venue_keys
from tickbus.config import ConfigError, Settings, VenueConfig
from tickbus_cli.doctor import clocks
from tickbus_cli.doctor.finding import Finding, bad, ok, skipped, warning
from tickbus_execution.live import SIMULATED_KEY
from tickbus_killswitch.kill import target_of
from tickbus_killswitch.rest import NotReached, Refused, Rest, VenueFailure
from tickbus_killswitch.signing import BadSecretError, signer

WAIT_S = 5.0
TIME_PATHS = {"binance": "/api/v3/time", "binance-usdm": "/fapi/v1/time"}
WITHDRAW = "WITHDRAW"


async def examine(settings: Settings, venue: VenueConfig, has_own_keys: bool) -> list[Finding]:
    """The clock of `venue` and the keys of the account there; see `keys`."""
    path = TIME_PATHS.get(venue.adapter)
    if path is None:
        return [skipped(f"clock {venue.name}", f"{venue.adapter} is public data only")]
    return [*await clock(venue, path), *await keys(settings, venue, has_own_keys)]


async def clock(venue: VenueConfig, path: str) -> list[Finding]:
    """How far our clock is from the venue's: signed requests are refused when it is much."""
    check = f"clock {venue.name}"
    try:
        async with httpx.AsyncClient(base_url=venue.rest_url, timeout=WAIT_S) as http:
            began = time.time_ns()
            answer = await http.get(path)
            ended = time.time_ns()
            theirs_ms = int(answer.json()["serverTime"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        host = urlsplit(venue.rest_url).hostname
        why = f"{host} does not tell its time: {type(error).__name__}"
        return [warning(check, why, "see whether this machine reaches the venue")]
    return [clocks.judge(venue.name, began, ended, theirs_ms * 1_000_000)]


async def keys(settings: Settings, venue: VenueConfig, has_own_keys: bool = False) -> list[Finding]:
    """What the keys of `venue` may do; a key that may withdraw is refused.

    `has_own_keys`: those that are not known here are not known to the services either.
    """
    check = f"keys {venue.name}"
    try:
        key, secret = settings.venue_keys(venue)
    except ConfigError as error:
        return [bad(check, str(error), "name a file that this user can read")]
    url = venue_keys.asked_at(venue.rest_url)
    if not key or not secret or (key == SIMULATED_KEY and url is not None):
        return [_without(settings, venue, has_own_keys)]
    if url is None:
        return [skipped(check, "no real money: this host does not tell what a key may do")]
    try:
        sign = signer(secret)
    except BadSecretError as error:
        return [bad(check, str(error), "give the secret as the venue gave it")]
    rest = Rest(url, key, sign, TIME_PATHS["binance"], WAIT_S)
    try:
        return restrictions(check, await rest.ask("GET", venue_keys.RESTRICTIONS))
    except NotReached as error:
        return [warning(check, str(error), "repeat when the venue answers: nothing is known yet")]
    except (Refused, VenueFailure) as error:
        return [bad(check, str(error), "make a key that may read and trade, for this address")]
    finally:
        await rest.close()


def _without(settings: Settings, venue: VenueConfig, has_own_keys: bool) -> Finding:
    check = f"keys {venue.name}"
    if target_of(settings, venue).orders != "venue":
        return skipped(check, "none are set, and none are needed: no order is sent there")
    give = "set TICKBUS_VENUE_API_KEY and TICKBUS_VENUE_API_SECRET, here or in .env"
    if has_own_keys:
        return bad(check, "none are set, and orders are to be sent there", give)
    return skipped(check, "none are set here: what they may do is not known", give)


def restrictions(check: str, said: Any) -> list[Finding]:
    """The venue's word on a key. What it does not say is taken for allowed."""
    if not isinstance(said, dict):
        return [warning(check, "the venue's answer cannot be read", "look at the key there")]
    found = []
    if venue_keys.may_withdraw(said):
        says = f"the key may {WITHDRAW}: whoever has it can take everything"
        remedy = "delete it at the venue and make one without withdrawals, before you trade"
        found.append(bad(check, says, remedy))
    if said.get("permitsUniversalTransfer", False) or said.get("enableInternalTransfer", False):
        says = "the key may transfer between accounts"
        found.append(warning(check, says, "take that permission from it: tickbus needs none"))
    if not said.get("ipRestrict", False):
        says = "the key works from any address"
        found.append(warning(check, says, "restrict it to the address of this machine"))
    trades = said.get("enableSpotAndMarginTrading", False) or said.get("enableFutures", False)
    if not trades:
        found.append(bad(check, "the key may not trade", "let it trade spot, or futures"))
    return found or [ok(check, "may trade, may not withdraw, only from named addresses")]
