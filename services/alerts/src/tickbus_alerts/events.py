"""What goes in and out of the core besides the events of the bus; none of it is ever on the bus."""

from enum import StrEnum

import msgspec

from tickbus.events import Event


class Stage(StrEnum):
    """Where an incident is.

    GATHERING: seen, and not told yet: it may end by itself, or more of the same may come. ACTIVE:
    told. WITHHELD: it came back so soon after it was told that it is not told again yet. RESTING:
    over, but remembered until the cool-down ends. OVER: forgotten by the core.
    """

    GATHERING = "GATHERING"
    ACTIVE = "ACTIVE"
    WITHHELD = "WITHHELD"
    RESTING = "RESTING"
    OVER = "OVER"


class Incident(msgspec.Struct, kw_only=True):
    """What one rule saw of one subject, from the first time until it is over.

    `count`: see `Alert`. `told` is how many of them the last message was about, `notices` how many
    messages there were. `ts_due` is when the core looks at it again by itself, 0 for never.
    `members` are the things of which it is true now, and when each was said last.
    """

    alert_id: str
    rule: str
    subject: str
    stage: Stage
    title: str
    detail: str
    ts_first: int
    ts_last: int
    count: int = 0
    told: int = 0
    told_title: str = ""
    notices: int = 0
    ts_raised: int = 0
    ts_cleared: int = 0
    ts_due: int = 0
    because: str = ""
    members: dict[str, int] = {}


class _OfIncident(Event, frozen=True):
    """What every word of the core carries: the incident as it is then."""

    incident: Incident


class AlertNoted(_OfIncident, frozen=True):
    """Something to remember over a restart, and nothing to tell."""


class AlertRaised(_OfIncident, frozen=True):
    """People are to be told: it began, or there is more of it, or it came back."""


class AlertCleared(_OfIncident, frozen=True):
    """It is over. With `tell`, whoever was told that it began is told."""

    tell: bool


class ServicesExpected(Event, frozen=True):
    """The names of the services that have been seen, and are missed from now on when gone."""

    services: tuple[str, ...]


class ServiceWord(msgspec.Struct, frozen=True):
    """What a service says of itself."""

    name: str
    is_ready: bool
    waiting_for: str = ""


class ServicesSeen(Event, frozen=True):
    """Who answered when all services were asked; who is missing did not."""

    services: tuple[ServiceWord, ...]


class LetterSeen(Event, frozen=True):
    """A message that `service` gave up, or that somebody has seen to."""

    service: str
    name: str
    subject: str
    error: str
    is_dead: bool


class ChannelTried(Event, frozen=True):
    """Whether a channel takes what is sent through it; `problem` says why not."""

    channel: str
    problem: str
