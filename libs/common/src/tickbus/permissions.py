"""Who may say and hear what on the bus: one table, from which the NATS server is configured.

Everybody but the strategies is in the account `platform`, which holds the streams; each has a user
with a row below. That is not enough for who is not trusted: a NATS server writes its own answers
(to a publish, to an acknowledgement, of a push consumer) on whatever subject the asker names, past
all permissions of the asker. So each strategy user has an account to itself, where no stream is,
and only the subjects of its row lead out of it; what the server answers stays in there. It makes no
consumers either: the doorkeeper (`tickbus.bus.door`) makes them. See docs/security.md.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tickbus import subjects

PLATFORM = "platform"
STRATEGY = "strategy"
OPERATOR = "operator"
ANY = "*"
"""As the id of a strategy: all of them, save the reserved ones."""
SLOTS = 4
"""How many incarnations of a durable a strategy user may have at once."""
BUCKETS = (
    "instruments", "control", "limits", "strategies", "budget", "leases", "snapshots",
    "deadletters", "access", "confirmations", "alerts",
)  # fmt: skip
OF_ALL = ("snapshots", "deadletters", "leases")
"""Buckets in which each service keeps its own keys."""
STREAMS = (subjects.ORDERS_STREAM, "QUARANTINE", "DEADLETTERS", subjects.DECISIONS_STREAM)
RESERVED = (subjects.MANUAL, "risk", "external")
"""Ids that stand for no strategy: orders by hand, by risk itself, and by nobody here."""
ASKED = (subjects.STATUS, subjects.STRATEGIES)
"""What the platform asks of all strategies, in their accounts."""
ASKERS = ("api", OPERATOR, "killswitch", "alerts")
"""Who asks others something; only to their inboxes are answers sent."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One service of the platform.

    `says`: subjects it publishes or asks on. `hears`: subjects it subscribes to or answers on.
    `reads`: it reads the ORDERS stream; `durable`: as a consumer that the server remembers.
    `looks_back`: it reads what strategies decided, in the stream DECISIONS.
    `watches`: buckets it reads; `keeps`: keys it writes, as `<bucket>.<key>`.
    """

    says: tuple[str, ...] = ()
    hears: tuple[str, ...] = ()
    reads: bool = False
    durable: bool = False
    looks_back: bool = False
    watches: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()


WISHES = "control.keyframe.>"
READERS_ALL = "control.reader.>"
"""Where strategies ask the doorkeeper; what follows is written by the server, see `reader_desk`."""
TABLE = {
    "feed": Row(
        says=("md.>",), hears=(WISHES,), watches=("instruments", "budget"),
        keeps=("instruments.>", "budget.>"),
    ),
    "book": Row(
        says=("book.>", WISHES), hears=("md.>", "control.book.>"), watches=("instruments",),
    ),
    "risk": Row(
        says=("orders.approved.>", "orders.denied.>", "orders.risk.>", "orders.intent.risk",
              subjects.RISK_STATE, subjects.heartbeat("risk"), "rehearsal.risk.>", "_R_.>"),
        hears=("book.>", "md.>", "control.risk.>", "control.heartbeat.>", READERS_ALL,
               "rehearsal.risk.>"),
        # Strategies watch the bucket `strategies` through the door that risk keeps.
        reads=True, durable=True, watches=("instruments", "control", "limits", "strategies"),
        keeps=("control.>", "limits.>"),
    ),
    "execution": Row(
        says=("orders.event.>", "orders.account.>", WISHES, "rehearsal.execution.>"),
        hears=("md.>", "book.>", "control.execution.>", "rehearsal.execution.>"),
        reads=True, durable=True, watches=("instruments", "control", "budget", "leases"),
        # One durable per venue: the server cannot match `execution_*`.
        keeps=("budget.>", "leases.>", "snapshots.>", "deadletters.>"),
    ),
    "router": Row(
        says=("orders.intent.*", "orders.event.smart.>", "book.top.smart.>", "rehearsal.router.>"),
        hears=("book.>", "control.router.>", "rehearsal.router.>"),
        reads=True, durable=True, watches=("instruments",), keeps=("instruments.smart.>",),
    ),
    "ledger": Row(
        says=("ledger.>",), hears=("book.>", "md.>", "control.ledger.>"), reads=True,
        watches=("instruments",),
    ),
    "history": Row(hears=("md.>", "book.>", "control.history.>")),
    "api": Row(
        says=(f"orders.intent.{subjects.MANUAL}", subjects.ACTS, subjects.SESSIONS, "control.>"),
        hears=("md.>", "book.>", "risk.>", "ledger.>", "strategy.>", "control.api.>", "logs.*"),
        # In `access` are users, API keys and logins: nobody else reads or writes it.
        # In `confirmations` is what somebody is still to confirm.
        reads=True, looks_back=True,
        watches=("instruments", "control", "limits", "strategies", "access", "confirmations"),
        keeps=("control.>", "limits.>", "strategies.>", "access.>", "confirmations.>"),
    ),
    "killswitch": Row(
        says=(f"orders.intent.{subjects.MANUAL}", "control.>"),
        hears=("risk.>", "ledger.>", "control.kill", "control.killswitch.>"),
        reads=True, watches=("instruments", "control", "limits"), keeps=("control.>",),
    ),
    "alerts": Row(
        says=(subjects.STATUS,),
        hears=("md.status.>", subjects.RISK_STATE, subjects.LEDGER_PORTFOLIO, "control.alerts.>"),
        reads=True, durable=True, watches=("alerts",), keeps=("alerts.>",),
    ),
}  # fmt: skip
"""What each service of the platform may do; that of the strategies is `StrategyUser`."""


@dataclass(frozen=True)
class StrategyUser:
    """A user for the strategies `ids`, in an account of the same name.

    `strategy` or `strategy-<name>`; `ids` may be ("*",) for all. Raises ValueError.
    """

    name: str = STRATEGY
    ids: tuple[str, ...] = (ANY,)

    def __post_init__(self) -> None:
        subjects.token(self.name)
        if not is_strategy(self.name):
            raise ValueError(f"{self.name!r}: a strategy's user is {STRATEGY} or {STRATEGY}-<name>")
        for strategy_id in self.ids:
            if strategy_id != ANY:
                subjects.token(strategy_id)
            if strategy_id in RESERVED:
                raise ValueError(f"{strategy_id!r} is no strategy's id: it is taken")

    @property
    def durables(self) -> tuple[str, ...]:
        """The durables that it may read as."""
        shared = (STRATEGY,) if self.name == STRATEGY else ()
        own = () if ANY in self.ids else self.ids
        return (*shared, *(f"{STRATEGY}_{strategy_id}" for strategy_id in own))

    @property
    def consumers(self) -> tuple[str, ...]:
        """What the names of its consumers begin with: its durables, and those that look back."""
        return (*self.durables, f"{self.name}_history")

    @property
    def sent(self) -> list[str]:
        """The subjects that lead into the account of the platform and are answered from there."""
        return [
            *(f"orders.intent.{strategy_id}" for strategy_id in self.ids),
            *(f"control.heartbeat.{strategy_id}" for strategy_id in self.ids),
            *(f"strategy.decision.{strategy_id}" for strategy_id in self.ids),
            *(subjects.strategy_audit(strategy_id) for strategy_id in self.ids),
            *(f"strategy.state.{strategy_id}" for strategy_id in self.ids),
            *said_by_all(STRATEGY, self.durables),
            *(
                f"$JS.ACK.{subjects.ORDERS_STREAM}.{name}-{slot}.>"
                for name in self.consumers
                for slot in range(SLOTS)
            ),
        ]

    @property
    def desk(self) -> str:
        """The subject in the account of the platform that `control.reader` leads to.

        It carries the rights of the user, and only the server can write it.
        """
        rights = "all" if ANY in self.ids else ".".join(("only", *self.ids))
        return f"control.reader.{self.name}.{rights}"

    @property
    def asked(self) -> list[str]:
        """The subjects on which the platform asks it: of all, and of its own ids."""
        return [*ASKED, *map(subjects.strategy_questions, self.ids)]

    @property
    def heard(self) -> list[str]:
        """The subjects that it gets from the account of the platform."""
        return ["md.>", "book.>", f"deliver.{self.name}.>"]


def is_strategy(user: str) -> bool:
    """Whether a user of this name is a strategy's, in an account without streams."""
    return user == STRATEGY or user.startswith(f"{STRATEGY}-")


def inbox(user: str) -> str:
    """What the inboxes of a user begin with; nobody else may listen there."""
    return f"_INBOX.{user}"


def said_by_all(service: str, durables: Sequence[str]) -> tuple[str, ...]:
    """What every service may store about itself, in buckets under the names of its durables."""
    return (
        f"quarantine.{service}",
        f"logs.{service}",
        f"deadletter.{service}",
        f"deadletter.{service}.>",
        *(
            f"$KV.{bucket}.{durable}{rest}"
            for bucket in OF_ALL
            for durable in durables
            for rest in ("", ".>")
        ),
    )


def readable(ids: Sequence[str]) -> tuple[str, ...]:
    """The subjects of ORDERS that concern the strategies `ids`."""
    records = (subjects.RISK_AUDIT_ALL,) if ANY in ids else map(subjects.risk_records, ("", *ids))
    return (
        *records,
        *_of_their_orders(ids),
    )


def _of_their_orders(ids: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        subject
        for strategy_id in ids
        for subject in (
            f"orders.intent.{strategy_id}",
            subjects.strategy_audit(strategy_id),
            subjects.denied(strategy_id),
            subjects.order_events("*", strategy_id),
        )
    )


def covers(allowed: str, wanted: str) -> bool:
    """Whether all that the pattern `wanted` matches is matched by the pattern `allowed`."""
    have, want = allowed.split("."), wanted.split(".")
    for index, part in enumerate(have):
        if part == ">":
            return len(want) > index
        if index >= len(want) or want[index] == ">":
            return False
        if part not in ("*", want[index]):
            return False
    return len(have) == len(want)


def allowed(service: str) -> dict[str, Any]:
    """What the user of a service may publish and subscribe to, in the server's words."""
    row = TABLE[service]
    return {
        "publish": {"allow": [
            *row.says,
            *said_by_all(service, (service,)),
            *(f"$KV.{key}" for key in row.keeps),
            *(f"{inbox(asker)}.>" for asker in ASKERS),
            *_stream_api(row),
        ]},
        "subscribe": {"allow": [subjects.STATUS, *row.hears, f"{inbox(service)}.>"]},
    }  # fmt: skip


def _stream_api(row: Row) -> Iterable[str]:
    """The parts of JetStream that a service needs: never to change, empty or delete a stream."""
    buckets = [f"KV_{bucket}" for bucket in dict.fromkeys((*row.watches, *OF_ALL))]
    for stream in (*STREAMS, *buckets):
        yield f"$JS.API.STREAM.INFO.{stream}"
        yield f"$JS.API.STREAM.CREATE.{stream}"  # refused where there is another of that name
    for stream in (*([subjects.ORDERS_STREAM] if row.reads else []), *buckets):
        yield f"$JS.API.STREAM.MSG.GET.{stream}"
        yield f"$JS.API.DIRECT.GET.{stream}"
        yield f"$JS.API.DIRECT.GET.{stream}.>"
        yield f"$JS.API.CONSUMER.CREATE.{stream}"
    if row.looks_back:
        yield f"$JS.API.DIRECT.GET.{subjects.DECISIONS_STREAM}"
    if row.reads:
        yield f"$JS.API.CONSUMER.LIST.{subjects.ORDERS_STREAM}"
        yield f"$JS.ACK.{subjects.ORDERS_STREAM}.>"  # of a durable, or of a read through a window
    if row.durable:
        yield f"$JS.API.CONSUMER.DURABLE.CREATE.{subjects.ORDERS_STREAM}.*"
        yield f"$JS.API.CONSUMER.CREATE.{subjects.ORDERS_STREAM}.*"
        yield f"$JS.API.CONSUMER.DELETE.{subjects.ORDERS_STREAM}.*"


def _operator() -> dict[str, Any]:
    """A person at the command line: looks at everything, keeps the streams, replays dead letters.

    A letter goes back where it came from: anywhere on the order path but among the approvals.
    """
    return {
        "publish": {"allow": [
            "control.>", "orders.intent.*", "orders.event.>", "orders.account.>",
            "orders.denied.>", "orders.risk.>", "$JS.API.>", "$JS.ACK.>",
            subjects.ACTS,  # that a lost password was replaced
            "$JS.SNAPSHOT.>",  # what a backup of a stream acknowledges, and its restoring sends
            *(f"$KV.{bucket}.>" for bucket in BUCKETS), "deadletter.>",
        ]},
        "subscribe": {"allow": [
            "md.>", "book.>", "risk.>", "ledger.>", "strategy.>", "orders.>", "quarantine.>",
            "deadletter.>", "control.>", f"{inbox(OPERATOR)}.>",
        ]},
    }  # fmt: skip


def accounts(
    passwords: dict[str, str], strategies: Sequence[StrategyUser], unbound: Sequence[str] = ()
) -> dict[str, Any]:
    """The accounts and users in the server's words.

    `passwords` is by user. `unbound` are further users of the platform's account who may do
    everything; tests play whole neighborhoods with one.
    """

    def login(user: str, permissions: dict[str, Any]) -> dict[str, Any]:
        return {"user": user, "password": passwords[user], "permissions": permissions}

    everything = {"publish": ">", "subscribe": ">"}
    platform = {
        "jetstream": "enabled",
        "users": [
            *(login(service, allowed(service)) for service in TABLE),
            login(OPERATOR, _operator()),
            *(login(user, everything) for user in unbound),
        ],
        "exports": _exports(strategies),
        "imports": [
            {"service": {"account": user.name, "subject": subject}}
            for user in strategies
            for subject in user.asked
        ],
    }
    return {PLATFORM: platform} | {user.name: _strategy_account(user, login) for user in strategies}


def users(strategies: Sequence[StrategyUser], unbound: Sequence[str] = ()) -> tuple[str, ...]:
    """Everybody who needs a password."""
    return (*TABLE, OPERATOR, *(user.name for user in strategies), *unbound)


def _exports(strategies: Sequence[StrategyUser]) -> list[dict[str, Any]]:
    found: dict[tuple[str, str], list[str]] = {}
    for user in strategies:
        for subject in (*user.sent, user.desk):
            found.setdefault(("service", subject), []).append(user.name)
        for subject in user.heard:
            found.setdefault(("stream", subject), []).append(user.name)
    return [{kind: subject, "accounts": names} for (kind, subject), names in found.items()]


def _strategy_account(user: StrategyUser, login: Any) -> dict[str, Any]:
    local = f"rehearsal.{STRATEGY}.>"
    permissions = {
        "publish": {
            "allow": [*user.sent, subjects.READER, local, "_R_.>"],
            "deny": [f"orders.intent.{reserved}" for reserved in RESERVED],
        },
        "subscribe": {"allow": [*user.heard, *user.asked, local, f"{inbox(user.name)}.>"]},
    }
    platform = {"account": PLATFORM}
    return {
        "users": [login(user.name, permissions)],
        "exports": [
            {"service": subject, "response_type": "stream", "accounts": [PLATFORM]}
            for subject in user.asked
        ],
        "imports": [
            *({"service": {**platform, "subject": subject}} for subject in user.sent),
            {"service": {**platform, "subject": user.desk}, "to": subjects.READER},
            *({"stream": {**platform, "subject": subject}} for subject in user.heard),
        ],
    }
