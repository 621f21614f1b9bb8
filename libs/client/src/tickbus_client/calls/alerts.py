"""Calls about alerts."""

from tickbus_client.answers.alerts import Alerts, Trial
from tickbus_client.call import Call

TRIAL_TIMEOUT_S = 70.0


def listing(*, limit: int = 50) -> Call[Alerts]:
    """What is wrong now, `limit` alerts that are over, the channels and the rules."""
    return Call("GET", "/api/v1/alerts", Alerts, query={"limit": limit})


def test(channel: str) -> Call[Trial]:
    """Send a message through a channel now; what it does not take is a problem."""
    path = "/api/v1/alerts/channels/{channel}/test"
    return Call("POST", path, Trial, names={"channel": channel}, timeout_s=TRIAL_TIMEOUT_S)
