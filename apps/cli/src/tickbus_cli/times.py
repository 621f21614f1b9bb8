"""Times for people: ISO 8601, UTC, to the microsecond."""

from datetime import UTC, datetime

NS_PER_S = 1_000_000_000


def spelled(ts_ns: int) -> str:
    """`ts_ns` as text; "" for 0, which means never."""
    if not ts_ns:
        return ""
    seconds, rest = divmod(ts_ns, NS_PER_S)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)
    return moment.isoformat(sep=" ", timespec="microseconds").replace("+00:00", "Z")
