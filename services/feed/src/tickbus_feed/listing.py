"""The venue's list of instruments: read again and again, what changed said and kept."""

import difflib
import fnmatch
import logging

import msgspec

from tickbus import codec
from tickbus.config import VenueConfig
from tickbus.events import Instrument, InstrumentChanged
from tickbus.runtime import Context
from tickbus.shard import Shard
from tickbus_feed.adapter import Adapter
from tickbus_feed.recorder import Recorder
from tickbus_feed.rest import RestClient, VenueUnavailable

BUCKET = "instruments"


class Listing:
    """What of the venue's list is configured and in this shard, `first` ones first.

    Each instrument is kept in the bucket `instruments` and given to the core; where it differs from
    what was kept before, `InstrumentChanged` is published. One that the list no longer has is kept
    as not trading.
    """

    def __init__(
        self, venue: VenueConfig, adapter: Adapter, rest: RestClient, context: Context,
        first: frozenset[str], shard: Shard, recorder: Recorder | None,
    ) -> None:  # fmt: skip
        self._venue = venue
        self._adapter = adapter
        self._rest = rest
        self._context = context
        self._first = first
        self._shard = shard
        self._recorder = recorder
        self._log: logging.Logger = context.log
        self._said_unlisted: set[str] = set()
        self.instruments: dict[str, Instrument] = {}
        self.is_read = False
        """Whether the list was read; with shards it may hold nothing for this one."""
        self.weight_limit = 0
        """Request weight a minute as the list states it, 0 where it does not."""

    async def read(self) -> None:
        """Read the list and keep what is ours. Raises VenueUnavailable, Unreadable, BusError."""
        listed: dict[str, Instrument] = {}
        for request in self._adapter.instruments_requests():
            payload = await self._rest.get(request)
            if self._recorder is not None:
                now = self._context.clock.now_ns()
                self._recorder.answered(now, self._rest.url(request), payload)
            found = self._adapter.instruments(payload, self._venue.name)
            listed |= {i.instrument_id: i for i in found}
            self.weight_limit = self._adapter.weight_limit(payload) or self.weight_limit
        for name in self._wanted(listed):
            await self._keep(name, listed[name])
        for name, before in list(self.instruments.items()):
            gone = msgspec.structs.replace(before, trading=False)
            await self._keep(name, listed.get(name, gone))
        if not self.instruments and self._shard.parts == 1:
            raise VenueUnavailable(
                f"none of venue.instruments ({', '.join(self._venue.instruments)}) is listed at "
                f"{self._venue.rest_url}"
            )
        self.is_read = True

    def _wanted(self, listed: dict[str, Instrument]) -> list[str]:
        """What is configured and listed, the traded ones first; `*` stands for any letters."""
        names: dict[str, None] = {}
        for name in self._venue.instruments:
            if "*" in name:
                trading = sorted(n for n, i in listed.items() if i.trading)
                names.update(dict.fromkeys(fnmatch.filter(trading, name)))
            elif name in listed:
                names[name] = None
            else:
                self._say_unlisted(name, list(listed))
        ours = filter(self._shard.owns, names)
        return sorted(ours, key=lambda n: n not in self._first)

    async def _keep(self, name: str, instrument: Instrument) -> None:
        if self.instruments.get(name) == instrument:
            return
        key, bus = f"{self._venue.name}.{name}", self._context.bus
        before = _kept((await bus.kv_read(BUCKET, key))[0])
        if before != instrument:
            await bus.kv_put(BUCKET, key, codec.encode_value(instrument))
        if before is not None and before != instrument:
            await self._say_changed(before, instrument)
        await self._context.emit([instrument])
        self.instruments[name] = instrument  # last: what failed before is tried again

    async def _say_changed(self, before: Instrument, after: Instrument) -> None:
        changes = tuple(
            (field, str(old), str(new))
            for field in after.__struct_fields__
            if (old := getattr(before, field)) != (new := getattr(after, field))
        )
        name, now = after.instrument_id, self._context.clock.now_ns()
        await self._context.publish([InstrumentChanged(now, now, after.venue, name, changes)])
        said = ", ".join(f"{field} {old} -> {new}" for field, old, new in changes)
        self._log.warning("the venue changed %s: %s", name, said)
        self._context.telemetry.error("instrument_changed")

    def _say_unlisted(self, name: str, listed: list[str]) -> None:
        if name in self._said_unlisted:
            return
        self._said_unlisted.add(name)
        self._context.telemetry.error("instrument_unlisted")
        near = difflib.get_close_matches(name, listed, n=3, cutoff=0.5) or listed[:3]
        self._log.error(
            "venue.instruments: %s is not listed at %s; did you mean %s? The others go on",
            name, self._venue.name, " or ".join(near),
        )  # fmt: skip


def _kept(value: bytes) -> Instrument | None:
    """What the bucket holds; None for nothing, and for what only an older version can read."""
    try:
        return codec.decode_value(value, Instrument) if value else None
    except codec.MalformedMessage:
        return None
