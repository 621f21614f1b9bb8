"""Request weight as the venue counts it: per address, so every process draws on the same account.

The account is a value in the bucket `budget`, changed only by who saw its last state. While the bus
is away each process gets by with a small part of the limit.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import msgspec

from tickbus import codec
from tickbus.bus import Bus, BusError
from tickbus.clock import Clock
from tickbus.codec import MalformedMessage

BUCKET = "budget"
SHARE = 0.8
"""The part of the venue's limit that is used; the rest is for orders and for people."""
SHARE_ALONE = 0.1
"""What one process takes when it cannot see what the others do."""
LIMIT_DEFAULT = 1200
SWAPS_MAX = 50
USED_HEADER = "X-MBX-USED-WEIGHT-1M"
SECOND_NS = 1_000_000_000

log = logging.getLogger("tickbus.budget")


class Account(msgspec.Struct, frozen=True, array_like=True):
    """What was spent in `minute` (since 1970), and until when the venue wants silence (ns UTC).

    `limit` is the venue's, as whoever changed the account last knew it; 0 is unknown.
    """

    minute: int = 0
    used: int = 0
    silent_until_ns: int = 0
    limit: int = 0


class WeightBudget:
    """The budget of one venue and address, named `key`; `limit` as the venue states it."""

    def __init__(self, bus: Bus, clock: Clock, key: str, limit: int = LIMIT_DEFAULT) -> None:
        self._bus = bus
        self._clock = clock
        self._key = key
        self._alone = Account()
        self.limit = limit
        self._used = 0
        self._minute = 0

    @staticmethod
    def key(rest_url: str, egress: str) -> str:
        """The name of the budget of the venue at `rest_url`, as seen from the address `egress`."""
        return f"{urlsplit(rest_url).netloc.replace(':', '-')}.{egress}"

    @property
    def used(self) -> int:
        """What was spent in this minute, as of the last that we spent or heard of in it."""
        return self._used if self._minute == self._clock.now_ns() // (60 * SECOND_NS) else 0

    @property
    def per_minute(self) -> float:
        """How much of the limit is ours."""
        return self.limit * SHARE

    async def acquire(self, weight: int, part: float = 1.0) -> None:
        """Wait until `weight` may be spent: at most a minute, or as long as the venue told us.

        Only `part` of what there is may be used up; the rest is for who says more. A weight above
        the limit itself is let through alone at the beginning of a minute.
        """
        while True:
            wait_s = await self._try(weight, part)
            if wait_s <= 0:
                return
            # Spread over a little time, so that not all who waited ask at once.
            await asyncio.sleep(wait_s + random.random() * 0.25)

    async def _try(self, weight: int, part: float) -> float:
        try:
            for _ in range(SWAPS_MAX):
                before, revision = await self._load()
                after, wait_s = self._spend(before, weight, SHARE * part)
                if wait_s > 0 or await self._store(after, revision):
                    return wait_s
            return 0.1
        except BusError as error:
            log.warning("the shared request budget is out of reach, going slowly: %s", error)
            self._alone, wait_s = self._spend(self._alone, weight, SHARE_ALONE * part)
            return wait_s

    def _spend(self, account: Account, weight: int, share: float) -> tuple[Account, float]:
        now_ns = self._clock.now_ns()
        if now_ns < account.silent_until_ns:
            return account, (account.silent_until_ns - now_ns) / SECOND_NS
        minute = now_ns // (60 * SECOND_NS)
        used = account.used if account.minute == minute else 0
        if self.limit == LIMIT_DEFAULT and account.limit:
            # Who just began, while others have long spent more than it would think allowed.
            self.limit = account.limit
        if used and used + weight > self.limit * share:
            return account, 60 - now_ns / SECOND_NS % 60 + 0.05
        self._used, self._minute = used + weight, minute
        return Account(minute, used + weight, account.silent_until_ns, self.limit), 0.0

    async def learn(self, headers: Mapping[str, str]) -> None:
        """Take the venue's own count where it gives one and it is higher than ours."""
        text = headers.get(USED_HEADER, "")
        if text.isdigit():
            await self.learn_used(int(text))

    async def learn_used(self, used: int) -> None:
        """As `learn`, of a count that the venue gave in another way."""
        minute = self._clock.now_ns() // (60 * SECOND_NS)
        if used <= self._used and minute == self._minute:
            return
        await self._change(
            lambda a: Account(
                minute, max(used, a.used if a.minute == minute else 0), a.silent_until_ns, a.limit
            )
        )
        self._used, self._minute = used, minute

    async def pause(self, seconds: float) -> None:
        """Nobody sends anything for `seconds`: the venue said so (429, 418)."""
        until = self._clock.now_ns() + int(seconds * SECOND_NS)
        await self._change(
            lambda a: msgspec.structs.replace(a, silent_until_ns=max(until, a.silent_until_ns))
        )

    async def _change(self, change: Callable[[Account], Account]) -> None:
        self._alone = change(self._alone)
        try:
            for _ in range(SWAPS_MAX):
                before, revision = await self._load()
                if await self._store(change(before), revision):
                    return
        except BusError as error:
            log.warning("the others could not be told of the request budget: %s", error)

    async def _load(self) -> tuple[Account, int]:
        value, revision = await self._bus.kv_read(BUCKET, self._key)
        try:
            return (codec.decode_value(value, Account) if value else Account()), revision
        except MalformedMessage as error:
            log.error("%s/%s is begun anew: %s", BUCKET, self._key, error)
            return Account(), revision

    async def _store(self, account: Account, revision: int) -> bool:
        return await self._bus.kv_swap(BUCKET, self._key, codec.encode_value(account), revision)
