"""Times as people write them, and as the platform counts them: integer nanoseconds UTC."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
NS_PER_S = 1_000_000_000


def time_ns(text: str) -> int:
    """`text`, ISO 8601 (without a zone: UTC) or integer ns, as ns UTC. Raises ValueError."""
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) > len("20261121"):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no time: give ISO 8601, such as 2026-11-21 or 2026-11-21T18:30:00Z,"
            " or integer nanoseconds"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND * 1000


def utc(ts_ns: int) -> str:
    """`ts_ns` (ns UTC) for people, to the millisecond: 2026-11-21T18:30:00.000Z.

    A number that is no time of the years 1 to 9999 stays one, with its unit.
    """
    seconds, rest = divmod(ts_ns, NS_PER_S)
    try:
        moment = _EPOCH + timedelta(seconds=seconds, milliseconds=rest // 1_000_000)
    except OverflowError:
        return f"{ts_ns}ns"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
