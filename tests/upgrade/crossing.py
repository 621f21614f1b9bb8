"""Everything that one version of the platform writes and another may have to read.

Events and what is in buckets outlive the version that wrote them. Questions, answers and reports
are read by another version for as long as services are being replaced one by one.
"""

import typing
from typing import Any

from tickbus import (
    alerts_api,
    budget,
    codec,
    history_api,
    kill_api,
    ledger_api,
    reconcile_api,
    risk_api,
    strategy_api,
)
from tickbus.events import BookSnapshot, ServiceStatus
from tickbus.runtime import buckets
from tickbus.runtime.deadletters import DeadLetter
from tickbus.runtime.lease import LeaseRecord
from tickbus.runtime.quarantine import Quarantined
from tickbus.runtime.snapshots import Manifest
from tickbus_alerts.store import Memory as AlertsMemory
from tickbus_alerts.store import Record as AlertRecord
from tickbus_api.access import records
from tickbus_api.flattening import Waiting
from tickbus_book.service import BookRefusal, BookRequest
from tickbus_execution.sharing import Told
from tickbus_strategy.state import KeptState

EVENTS: tuple[Any, ...] = typing.get_args(
    typing.get_args(typing.get_type_hints(codec.Envelope)["events"])[0]
)

KEPT: dict[str, Any] = {
    **{f"bucket {name}": kind for name, kind in buckets.TYPES.items()},
    "bucket access: users": records.UserRecord,
    "bucket access: keys": records.KeyRecord,
    "bucket access: sessions": records.Sessions,
    "bucket access: used": records.Used,
    "bucket access: signing": records.SigningKey,
    "bucket alerts": AlertRecord,
    "bucket alerts: memory": AlertsMemory,
    "bucket budget": budget.Account,
    "bucket budget: orders": Told,
    "bucket deadletters": DeadLetter,
    "bucket leases": LeaseRecord,
    "bucket plans": Waiting,
    "bucket snapshots": Manifest,
    "bucket strategy states": KeptState,
    "stream QUARANTINE": Quarantined,
}

ASKED: dict[str, Any] = {
    "status": ServiceStatus,
    "book": BookRequest,
    "book: answer": BookSnapshot | BookRefusal,
    "alerts": alerts_api.AlertsQuery,
    "alerts: answer": alerts_api.AlertsAnswer,
    "alerts test": alerts_api.TrialQuery,
    "alerts test: answer": alerts_api.TrialAnswer,
    "candles": history_api.CandlesQuery,
    "candles: answer": history_api.CandlesAnswer | history_api.HistoryRefusal,
    "kill": kill_api.KillRequest,
    "kill: answer": kill_api.KillReport,
    "reconcile: answer": reconcile_api.Answer,
    "risk usage": risk_api.UsageQuery,
    "risk usage: answer": risk_api.UsageAnswer | risk_api.RiskRefusal,
    "risk preview": risk_api.PreviewQuery,
    "risk preview: answer": risk_api.PreviewAnswer | risk_api.RiskRefusal,
    "strategies": strategy_api.Question,
    "strategies: answer": strategy_api.Answer,
    **{
        f"ledger {name}": kind
        for name, kind in vars(ledger_api).items()
        if name.endswith(("Query", "Answer", "Refusal")) and isinstance(kind, type)
    },
}

CROSSING: dict[str, Any] = {
    "envelope": codec.Envelope,
    **{f"event {kind.__name__}": kind for kind in EVENTS},
    **KEPT,
    **{f"question {name}": kind for name, kind in ASKED.items()},
}
