"""The services: who answers, who does not, and whether all are ready and of one version."""

from collections.abc import Iterator, Mapping, Sequence

from tickbus import __version__, codec, subjects
from tickbus.bus import Bus, BusError
from tickbus.codec import MalformedMessage
from tickbus.events import ServiceStatus
from tickbus_cli.doctor.finding import Finding, Level, bad, ok, warning
from tickbus_cli.further import service_of
from tickbus_cli.monitor import name_of

WAIT_S = 0.5
ASKS = 6
"""Who is silent is asked so often: a busy process may be late."""
WITHOUT = {
    "feed": "no market data comes in",
    "book": "nobody knows a price",
    "strategy": "no strategy trades",
    "risk": "no order is let through",
    "execution": "no order is sent or cancelled",
    "ledger": "no books are kept",
    "api": "nobody can see or do anything from elsewhere",
    "history": "no candles are kept",
    "alerts": "nobody is told of what goes wrong",
    "killswitch": "its address stops nothing; `tickbus kill` works without it",
    "router": "nobody splits orders over the venues",
}
"""What a service is missed for."""


async def services(connected: Bus, wanted: Mapping[str, Level]) -> list[Finding]:
    """Every service that answers: ready, and of one version; and who of `wanted` does not.

    `wanted` says of each process by its name how bad it is that it does not run.
    """
    try:
        statuses, unreadable = await _answers(connected, wanted)
    except BusError as error:
        return [bad("services", f"cannot be asked: {error}", "see the log of NATS")]
    if not statuses and not unreadable:
        return [warning("services", "none answers", "start them: `tickbus up`")]
    remedy = "run the same version of every service"
    found = [bad("services", "one answers in words of another version", remedy)] * unreadable
    for status in statuses:
        name = f"{status.service} {status.instance}"
        if status.version != __version__:
            says = f"{name} is version {status.version}, this is {__version__}"
            found.append(bad(name, says, remedy))
        elif not status.ready:
            says = f"{name} waits for {status.waiting_for}"
            found.append(warning(name, says, f"see the log of {status.service}"))
    if not unreadable:  # else it may be one of those that seem to be missing
        found += _missing(statuses, wanted)
    return found or [ok("services", f"{len(statuses)} are ready")]


async def _answers(connected: Bus, wanted: Mapping[str, Level]) -> tuple[list[ServiceStatus], int]:
    """What they say, and how many of one round cannot be read; asked until all wanted answer."""
    known: dict[tuple[str, str, str], ServiceStatus] = {}
    unreadable = 0
    for _ in range(ASKS):
        broken = 0
        for payload in await connected.gather(subjects.STATUS, b"", WAIT_S):
            try:
                status = codec.decode_value(payload, ServiceStatus)
            except MalformedMessage:
                broken += 1
            else:
                known[status.service, status.instance, status.venue] = status
        unreadable = max(unreadable, broken)
        if not list(_silent(list(known.values()), wanted)):
            break
    return list(known.values()), unreadable


def _silent(statuses: Sequence[ServiceStatus], wanted: Mapping[str, Level]) -> Iterator[str]:
    answer = {name_of(status, tuple(wanted)) for status in statuses}
    return (name for name in wanted if name not in answer)


def _missing(statuses: Sequence[ServiceStatus], wanted: Mapping[str, Level]) -> Iterator[Finding]:
    for name in _silent(statuses, wanted):
        says = f"does not answer, as if it did not run: {WITHOUT[service_of(name)]}"
        remedy = f"start {name}, or see in its log why it ended"
        yield Finding(f"service {name}", wanted[name], says, remedy)
