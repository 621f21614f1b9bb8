"""Times for people: ISO 8601, UTC, to the microsecond."""

from datetime import UTC, datetime

NS_PER_S = 1_000_000_000


def at(moment: datetime | None) -> str:
    """`moment` as text; "" for None, which means never."""
    if moment is None:
        return ""
    return moment.astimezone(UTC).isoformat(sep=" ", timespec="microseconds").replace("+00:00", "Z")


def moment(ts_ns: int) -> datetime | None:
    """`ts_ns` with its zone, to the microsecond; None for 0, which means never."""
    if not ts_ns:
        return None
    seconds, rest = divmod(ts_ns, NS_PER_S)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)
