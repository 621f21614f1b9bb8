"""How far this machine's clock is from another's."""

from tickbus_cli.doctor.finding import Finding, bad, ok, warning

BAD_MS = 1_000
LOW_MS = 250
REMEDY = "keep the clocks of both machines by NTP: chrony or systemd-timesyncd"


def judge(whose: str, began_ns: int, ended_ns: int, theirs_ns: int) -> Finding:
    """By what `whose` clock said between two looks at ours: that much is not known of it."""
    ahead_ms = round(((began_ns + ended_ns) / 2 - theirs_ns) / 1e6)
    off_ms = max(0.0, abs(ahead_ms) - (ended_ns - began_ns) / 2e6)
    way = "ahead of" if ahead_ms > 0 else "behind"
    says = f"{abs(ahead_ms)} ms {way} {whose}"
    check = f"clock {whose}"
    if off_ms > BAD_MS:
        return bad(check, says, REMEDY)
    return warning(check, says, REMEDY) if off_ms > LOW_MS else ok(check, says)
