"""What one may ask the processes that run strategies, over the bus.

On `control.strategies` each says which strategies it runs. A question about one id is asked on
`control.strategy.<id>`: there only who may speak for it can answer, so what is said of a strategy
is believed only there. Where the process that may run it has no such strategy, the answer is empty.
"""

from decimal import Decimal

import msgspec

from tickbus import codec
from tickbus.events import StrategyDecision, StrategyPhase, StrategyTerms

TIMEOUT_S = 5.0
"""For one answer: a kind may have to be loaded from a file first."""
GATHER_S = 0.3
GATHER_PATIENT_S = 2.0
"""For the answers of all: at first, and again where nobody was that fast."""
DECISIONS_MAX = 200


class ListStrategies(msgspec.Struct, frozen=True, tag=True):
    """Asks for every strategy, or for one; `whole` with its orders and decisions."""

    strategy_id: str = ""
    whole: bool = True


class ListKinds(msgspec.Struct, frozen=True, tag=True):
    """Asks what can be run; `kind` names one, also one that is in a file."""

    kind: str = ""


class CheckStrategy(msgspec.Struct, frozen=True, tag=True):
    """Asks whether these terms could be applied."""

    strategy_id: str
    terms: StrategyTerms


Question = ListStrategies | ListKinds | CheckStrategy


class MarketReport(msgspec.Struct, frozen=True):
    """What a strategy did in one market; amounts are in its quote currency.

    `quantity` is signed, `unrealized` at the middle of the market, or at the entry before that is
    known; `fees` are positive where we pay.
    """

    venue: str
    instrument_id: str
    quantity: Decimal
    avg_entry_price: Decimal | None
    realized: Decimal
    unrealized: Decimal
    fees: Decimal
    working_orders: int


class OrderReport(msgspec.Struct, frozen=True):
    """One order that has not ended."""

    client_order_id: str
    venue: str
    instrument_id: str
    side: str
    order_type: str
    quantity: Decimal
    price: Decimal | None
    filled_quantity: Decimal
    state: str


class StrategyReport(msgspec.Struct, frozen=True):
    """One strategy as it is now.

    `terms` are those that hold; None where nobody ever said any. `params` are the ones in force as
    JSON, with what was not given. `configured` says whether the files know it. `revision` is the
    highest on record. `orders` and `decisions` (the newest first) only where one was asked for as a
    whole.
    """

    strategy_id: str
    phase: StrategyPhase
    terms: StrategyTerms | None
    params: str
    revision: int
    configured: bool
    error: str
    markets: tuple[MarketReport, ...]
    orders: tuple[OrderReport, ...] = ()
    decisions: tuple[StrategyDecision, ...] = ()


class StrategyReports(msgspec.Struct, frozen=True, tag=True):
    """The answer to `ListStrategies`."""

    strategies: tuple[StrategyReport, ...]


class KindReport(msgspec.Struct, frozen=True):
    """What can be run; `params` is a JSON schema. With `problem` it cannot be loaded."""

    kind: str
    title: str = ""
    doc: str = ""
    params_doc: str = ""
    params: str = "{}"
    spanning: bool = False
    problem: str = ""


class KindReports(msgspec.Struct, frozen=True, tag=True):
    """The answer to `ListKinds`."""

    kinds: tuple[KindReport, ...]


class Checked(msgspec.Struct, frozen=True, tag=True):
    """The answer to `CheckStrategy`; an empty `problem` means that it could be applied."""

    field: str = ""
    value: str = ""
    problem: str = ""
    remedy: str = ""


Answer = StrategyReports | KindReports | Checked


def read_question(payload: bytes) -> Question:
    """What is asked. Raises MalformedMessage."""
    question: Question = codec.decode_value(payload, Question)  # type: ignore[arg-type]
    return question


def read_answer(payload: bytes) -> Answer:
    """What was answered. Raises MalformedMessage."""
    answer: Answer = codec.decode_value(payload, Answer)  # type: ignore[arg-type]
    return answer
