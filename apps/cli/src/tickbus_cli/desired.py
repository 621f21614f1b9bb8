"""What was wished for strategies before this start: said aloud, and overruled by `--strategy`."""

from collections.abc import Mapping

from tickbus import codec
from tickbus.bus import Bus
from tickbus.codec import MalformedMessage
from tickbus.events import SetStrategy, StrategyTerms
from tickbus_cli.errors import CliError
from tickbus_cli.saying import Say

BUCKET = "strategies"
ACTOR = "tickbus up"
TOLD_MAX = 20
"""So many are said one by one; `tickbus strategies` shows all."""


async def settle(
    bus: Bus, configured: Mapping[str, StrategyTerms], asked: str, now_ns: int, say: Say
) -> None:
    """Say which strategies run by wishes of before, not as `configured`.

    `asked` is what the command line said of them; where it said something that is the newest wish,
    and goes on record as one. Raises BusError, CliError.
    """
    lines = []
    for wish in await _kept(bus):
        name, terms = wish.strategy_id, configured.get(wish.strategy_id)
        if wish.terms is None or wish.deletes:
            continue  # the configuration holds
        if terms is not None and asked:
            await _overrule(bus, wish, terms, asked, now_ns)
        if wish.terms == terms:
            continue
        does = "runs" if wish.terms.is_running else "is stopped"
        if terms is not None and asked:
            lines.append(f"{name}: `{asked}` holds from now on, not {_words(wish)}")
        elif terms is not None:
            lines.append(
                f"{name} {does} by {_words(wish)}, not as the configuration says;"
                f" `tickbus strategies reset {name}` ends that"
            )
        elif wish.terms.is_running:
            lines.append(
                f"{name} runs, too, by {_words(wish)}; `tickbus strategies stop {name}` ends that"
            )
    for line in lines[:TOLD_MAX]:
        say(f"  {line}")
    if len(lines) > TOLD_MAX:
        say(f"  and {len(lines) - TOLD_MAX} more: see `tickbus strategies`")


async def _kept(bus: Bus) -> list[SetStrategy]:
    """The last wish for each id, by id."""
    found: dict[str, SetStrategy] = {}

    async def see(key: str, payload: bytes) -> None:
        try:
            wish = codec.decode_value(payload, SetStrategy)
        except MalformedMessage:
            return  # the service that reads it puts it aside, and says so
        if wish.strategy_id == key:
            found[key] = wish

    await (await bus.kv_watch(BUCKET, see)).stop()
    return [found[name] for name in sorted(found)]


async def _overrule(
    bus: Bus, wish: SetStrategy, terms: StrategyTerms, asked: str, now_ns: int
) -> None:
    newer = SetStrategy(
        now_ns, now_ns, wish.strategy_id, wish.revision + 1, terms, ACTOR, asked[:200]
    )
    _, place = await bus.kv_read(BUCKET, wish.strategy_id)
    if not await bus.kv_swap(BUCKET, wish.strategy_id, codec.encode_value(newer), place):
        raise CliError(
            f"{wish.strategy_id}: somebody wished for something else while this started",
            "Look at `tickbus strategies`, then start again.",
        )


def _words(wish: SetStrategy) -> str:
    return f"the wish of {wish.actor or 'somebody'} (revision {wish.revision}: {wish.reason})"
