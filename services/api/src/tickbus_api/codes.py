"""Every code of a problem, what it means and what helps; `docs/problems.md` is printed from it."""

from collections.abc import Sequence
from typing import NamedTuple

_AGAIN = "Repeat it in a moment; `GET /api/v1/status` says what waits for what."
_VERSIONS = "Run the same version of every service."


class Code(NamedTuple):
    """One code: its statuses, and of which paths alone it is, "" for any."""

    statuses: tuple[int, ...]
    means: str
    remedy: str
    where: str = ""


CODES: dict[str, Code] = {
    "MALFORMED_JSON": Code((400,), "The body is no JSON object.", "Send one object."),
    "IDEMPOTENCY_KEY_INVALID": Code(
        (400,), "The `Idempotency-Key` is too long.", "Use a UUID.", "/orders"
    ),
    "UNAUTHENTICATED": Code(
        (401,), "It is not known who asks: no credentials, or some that are no good.",
        "Log in, or send an API key as `Authorization: Bearer tbk_...`.",
    ),
    "LOGIN_REFUSED": Code(
        (401,), "User or password is wrong.", "Try again; an admin can set a new password.",
        "/auth/",
    ),
    "LOGIN_OVER": Code(
        (401,), "The refresh token is unknown, expired or was used before.", "Log in again.",
        "/auth/refresh",
    ),
    "FORBIDDEN": Code(
        (403,), "Who asks lacks a scope (`scopes_needed`), or may not do this by such means.",
        "Ask an admin for a role, or for a key, that has it.",
    ),
    "ADDRESS_REFUSED": Code(
        (403,), "The API key may not be used from this address.", "Send from one of its list."
    ),
    "HOST_REFUSED": Code(
        (403,), "The gateway was asked for by a name that is not its own.",
        "Ask for 127.0.0.1 or localhost; other names go into `api.hosts`.",
    ),
    "ORIGIN_REFUSED": Code(
        (403,), "A page of another origin asks.", "Use the gateway's page, or `api.cors_origins`."
    ),
    "UNKNOWN_PATH": Code((404,), "There is no such path.", "`/docs` shows every path."),
    "UNKNOWN_ORDER": Code(
        (404,), "There is no such order.", "`GET /api/v1/orders` lists them.", "/orders/{"
    ),
    "UNKNOWN_USER": Code(
        (404,), "There is no such user.", "`GET /api/v1/users` lists them.", "/users/{"
    ),
    "UNKNOWN_KEY": Code(
        (404,), "There is no such API key, or it is somebody else's.",
        "`GET /api/v1/keys` lists them.", "/keys/{",
    ),
    "UNKNOWN_CHANNEL": Code(
        (404,), "There is no such channel.", "docs/alerts.md says how to set one.", "/channels/{"
    ),
    "UNKNOWN_DEAD_LETTER": Code(
        (404,), "There is no such dead letter.", "`GET /api/v1/dead-letters` lists them.",
        "/dead-letters/{",
    ),
    "UNKNOWN_STRATEGY": Code(
        (404, 422), "Nobody here has heard of this strategy.",
        "Correct the name; where it is right, `even_if_unknown` goes on.", "/strategies/{",
    ),
    "METHOD_NOT_ALLOWED": Code((405,), "The path has no such method.", "See `/docs`."),
    "STREAM_STALLED": Code(
        (408,), "A client of the stream read nothing for `api.streams.stalled_after_s`.",
        "Read what comes; it is the reason of the close.", "/stream",
    ),
    "CHANGED_MEANWHILE": Code(
        (409,), "Somebody else changed the same at the same time.", "Look at it, and try again."
    ),
    "ORDER_CLOSED": Code(
        (409,), "The order is over.", "Nothing is left of it in the market.", "/orders/{"
    ),
    "ORDER_OF_A_STRATEGY": Code(
        (409,), "A strategy's order cannot be replaced by hand.",
        "Cancel it, and leave the rest to the strategy.", "/orders/{",
    ),
    "CANCEL_REJECTED": Code(
        (409,), "The venue refused to cancel.", "See what became of the order.", "/orders/{"
    ),
    "STRATEGY_WITHOUT_TERMS": Code(
        (409,), "Nothing says what the strategy is.", "`PUT` it with kind and instruments first.",
        "/strategies",
    ),
    "STRATEGIES_REFUSED": Code(
        (409,), "Some strategies could not be told; `refused` names each.",
        "See to these, then repeat it.", "/engine",
    ),
    "NOTHING_TO_RECONCILE": Code(
        (409,), "No account is traded through this gateway.", "See `venues` of the configuration.",
        "/reconcile",
    ),
    "USER_EXISTS": Code((409,), "There is a user of this name.", "Take another.", "/users"),
    "ONESELF": Code(
        (409,), "One does not remove oneself.", "Have another admin do it.", "/users/{"
    ),
    "LAST_ADMIN": Code(
        (409,), "It would leave no admin.", "Make another user an admin first.", "/users/{"
    ),
    "TOO_MANY_USERS": Code((409,), "There are as many as may be.", "Remove some.", "/users"),
    "TOO_MANY_KEYS": Code(
        (409,), "The user has as many keys as may be.", "Take back those nobody uses.", "/keys"
    ),
    "CONFIRMATION_GONE": Code(
        (410,), "The token is none of yours, too old, or was used: nothing was done.",
        "`POST /api/v1/flatten` gives a new one.", "/flatten/",
    ),
    "BODY_TOO_LARGE": Code((413,), "The body is larger than any request.", "Send less."),
    "INVALID_VALUE": Code(
        (422,), "`field` cannot be understood, or cannot be right.", "`remedy` says what it may be."
    ),
    "MISSING_FIELD": Code((422,), "`field` is needed.", "Give it."),
    "UNKNOWN_FIELD": Code(
        (422,), "`field` is none of this request.", "`remedy` names the nearest."
    ),
    "UNKNOWN_PARAMETER": Code(
        (422,), "There is no such query parameter; it would widen what is listed, or cancelled.",
        "`remedy` names the nearest.",
    ),
    "UNKNOWN_SYMBOL": Code(
        (422,), "The symbol is not traded here (`nearest`).",
        "`GET /api/v1/instruments` lists them.",
    ),
    "UNKNOWN_VENUE": Code((422,), "There is no such venue.", "`GET /api/v1/venues` lists them."),
    "UNKNOWN_INSTRUMENT": Code(
        (422,), "There is no such instrument.", "`GET /api/v1/instruments` lists them."
    ),
    "UNKNOWN_TOPIC": Code(
        (422,), "There is no such topic.", "docs/streaming.md lists them.", "/stream"
    ),
    "TOO_MANY_TOPICS": Code(
        (422,), "The client hears `api.streams.topics_max` topics.", "Unsubscribe from some.",
        "/stream",
    ),
    "INVALID_COMMAND": Code(
        (422,), "A message to the stream is none of docs/streaming.md.", "Correct it.", "/stream"
    ),
    "INTERVAL_INVALID": Code(
        (422,), "There are no candles of this interval.", "`remedy` names those that there are.",
        "/candles",
    ),
    "QUERY_REFUSED": Code(
        (422,), "The ledger cannot answer this, such as a cursor that is none of its own.",
        "Ask without the cursor.",
    ),
    "IDEMPOTENCY_KEY_REUSED": Code(
        (422,), "The `Idempotency-Key` is of another order.", "Use a new key for a new order.",
        "/orders",
    ),
    "VENUE_REJECTED": Code(
        (422,), "The venue refused the order (`venue_reason`).", "Change it as the venue says.",
        "/orders",
    ),
    "STRATEGY_REFUSED": Code(
        (422,), "The strategy service refused the terms.", "`detail` says why.", "/strategies"
    ),
    "TOO_MANY_REQUESTS": Code(
        (429,), "More requests than `api.rate_per_s` of this user or key.",
        "Wait as long as `Retry-After` says; the stream tells what changes.",
    ),
    "TOO_MANY_LOGINS": Code(
        (429,), "Too many logins failed.", "Wait as long as `Retry-After` says.", "/auth/"
    ),
    "TOO_MANY_CONFIRMATIONS": Code(
        (429,), "Too many wait to be confirmed.",
        "`PUT /api/v1/risk/state` with `flatten` asks for no token.", "/flatten",
    ),
    "STREAM_FLOODED": Code(
        (429,), "Answers to a client of the stream pile up unread.", "Read, and ask less often.",
        "/stream",
    ),
    "INTERNAL_ERROR": Code(
        (500,), "The gateway failed; its log says where.", "Report it with the log."
    ),
    "PARQUET_NOT_INSTALLED": Code(
        (501,), "Parquet files need a package that is not installed.",
        "Install it as `remedy` says, or take `csv`.",
    ),
    "KILL_NOT_VERIFIED": Code(
        (502,), "It is not certain that no order works; `report` says what is left.",
        "docs/kill-switch.md.", "/kill",
    ),
    "CHANNEL_FAILED": Code(
        (502,), "The channel did not take the message.", "docs/alerts.md has an example of each.",
        "/channels/",
    ),
    "BUS_UNAVAILABLE": Code(
        (503,), "The bus did not confirm in time: what was sent may have arrived.",
        "Look before you repeat it, or repeat it with the same `Idempotency-Key`.",
    ),
    "STARTING": Code((503,), "The gateway is starting.", "Repeat it in a second."),
    "RECORD_FULL": Code(
        (503,), "What is done cannot be put on record: the bus is away.",
        "See `GET /health`; stopping and cancelling still work.",
    ),
    "LOGIN_BUSY": Code(
        (503,), "Too many passwords wait to be compared.", "Try again in a few seconds.", "/auth/"
    ),
    "ACCESS_UNAVAILABLE": Code(
        (503,), "The bus, which keeps users and logins, does not answer.",
        "See `GET /health`; who is logged in stays so.",
    ),
    "ACCESS_UNREADABLE": Code(
        (503,), "What is kept of a user or key cannot be read.", "docs/access.md."
    ),
    "LEDGER_UNAVAILABLE": Code((503,), "The ledger does not answer.", _AGAIN),
    "LEDGER_UNINTELLIGIBLE": Code((503,), "The ledger's answer cannot be read.", _VERSIONS),
    "RISK_UNAVAILABLE": Code((503,), "Risk does not answer.", _AGAIN),
    "RISK_UNINTELLIGIBLE": Code((503,), "Risk's answer cannot be read.", _VERSIONS),
    "RISK_REFUSED": Code((503,), "Risk could not answer the question.", "`detail` says why."),
    "RISK_UNKNOWN": Code((503,), "Risk has not said where it stands yet.", _AGAIN, "/risk"),
    "EXECUTION_UNAVAILABLE": Code((503,), "Execution does not answer.", _AGAIN, "/reconcile"),
    "HISTORY_UNAVAILABLE": Code((503,), "History does not answer.", _AGAIN, "/candles"),
    "HISTORY_UNINTELLIGIBLE": Code(
        (503,), "History's answer cannot be read.", _VERSIONS, "/candles"
    ),
    "HISTORY_REFUSED": Code(
        (503,), "History could not answer the question.", "`detail` says why.", "/candles"
    ),
    "STRATEGIES_UNAVAILABLE": Code(
        (503,), "No strategy process answers.", _AGAIN, "/strateg"
    ),
    "STRATEGIES_UNINTELLIGIBLE": Code(
        (503,), "The strategies' answer cannot be read.", _VERSIONS, "/strateg"
    ),
    "ALERTS_UNAVAILABLE": Code((503,), "The alerts service does not answer.", _AGAIN, "/alerts"),
    "ALERTS_UNINTELLIGIBLE": Code(
        (503,), "The alerts service's answer cannot be read.", _VERSIONS, "/alerts"
    ),
    "INSTRUMENTS_UNKNOWN": Code(
        (503,), "No feed has described an instrument yet.", "Wait for the feed."
    ),
    "DEPTH_UNKNOWN": Code(
        (503,), "No book of the instrument was seen yet.", "Wait for the feed.", "/depth"
    ),
    "KILL_SWITCH_UNAVAILABLE": Code(
        (503,), "The kill switch does not answer.", "`tickbus kill` needs no gateway.", "/kill"
    ),
    "KILL_SWITCH_REFUSED": Code(
        (503,), "The kill switch refused the gateway.", "`TICKBUS_KILL_TOKEN` must be the same.",
        "/kill",
    ),
    "STREAMS_FULL": Code(
        (503,), "`api.streams.clients_max` clients listen already.", "Try again later.", "/stream"
    ),
}  # fmt: skip
"""In the order of their status; the first that fits stands in examples."""


def example(status: int, path: str) -> str:
    """A code that `path` may answer with `status`; "" for none that is known."""
    fits = [
        name
        for name, code in CODES.items()
        if status in code.statuses and (not code.where or code.where in path)
    ]
    own = [name for name in fits if CODES[name].where]
    # What is usual for a status says more than what is rare, except where a thing is not there.
    return next(iter(own if own and status in _OWN else fits), "")


_OWN = (404, 409, 410, 502)


def table() -> str:
    """The page, in Markdown."""
    head = [
        "# Problems",
        "",
        "Printed by `python -m tickbus_api.codes`; a test fails when the gateway says others.",
        "",
        "What cannot be done is answered with `application/problem+json` (RFC 9457). `code` is",
        "stable: branch on it. `detail` and `remedy` are for people and may change. `field` and",
        "`value` say what was wrong; what else comes with a code stands in brackets.",
        "",
        "Besides these, an order that risk refuses has the reason as its code (422), with",
        "`reason_detail` and `order_id`: [why risk denies](denial-reasons.md).",
        "",
        "| code | status | means | what helps |",
        "|---|---|---|---|",
    ]
    return "\n".join([*head, *_rows(CODES)]) + "\n"


def _rows(codes: dict[str, Code]) -> Sequence[str]:
    return [
        f"| `{name}` | {', '.join(map(str, code.statuses))} | {code.means} | {code.remedy} |"
        for name, code in codes.items()
    ]


if __name__ == "__main__":
    import sys

    sys.stdout.write(table())
