"""Execution restored from a snapshot is execution that folded everything."""

from decimal import Decimal
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tickbus.events import (
    AccountReconciled,
    AccountUpdated,
    AdjustmentCause,
    Balance,
    BalanceAdjusted,
    FeeSchedule,
    Instrument,
    MessageDead,
    OrderApproved,
    OrderRejected,
    OrderSubmitted,
    OrderType,
    ReconciliationCause,
    Recovered,
    Side,
    SubmitOrder,
)
from tickbus_execution.config import PaperConfig
from tickbus_execution.core import ExecutionCore
from tickbus_execution.paper import PaperExecution, PaperVenue
from tickbus_execution.venue import OrderReport, VenueSnapshot, VenueStatus
from tickbus_testkit.memories import assert_snapshot_is_history, order_path

D = Decimal
S = 1_000_000_000
LATER = 9 * S
BTC = Instrument("sim", "BTC-USDT", "BTCUSDT", "BTC", "USDT", D("0.01"), D("0.001"))
FEES = FeeSchedule(maker=D("0.001"), taker=D("0.001"))

PAID = BalanceAdjusted(
    S * 3, S * 3, "sim", "USDT", D("-0.5"), AdjustmentCause.FUNDING, "F:1", "BTC-USDT"
)
MONEY = (
    AccountUpdated(S, S, "sim", (Balance("USDT", D(100), D(0)),), True),
    PAID, PAID,
    AccountReconciled(S * 3, S * 3, "sim", ReconciliationCause.PERIODIC, 0, 0, 0, 0, 1, S * 3),
)  # fmt: skip


def a_paper() -> PaperExecution:
    return PaperExecution(
        ExecutionCore("sim"), PaperVenue("sim", PaperConfig(balances={"USDT": D(1)}), FEES, "r")
    )


def an_approval(order_id: str = "pp-r-1") -> OrderApproved:
    order = SubmitOrder(
        LATER, LATER, order_id, "pp", "sim", "BTC-USDT", Side.BUY, OrderType.LIMIT, D(1), D(100)
    )
    return OrderApproved(LATER, LATER, order)


@settings(max_examples=40, deadline=None)
@given(random=st.randoms(use_true_random=False), cut=st.integers(0, 80))
def test_restored_execution_knows_and_says_what_the_whole_history_makes_it(
    random: Random, cut: int
) -> None:
    report = OrderReport(
        LATER, LATER, "pp-r1-1", "BTC-USDT", "v-pp-r1-1", VenueStatus.NEW, Side.BUY, D(1), D(0)
    )
    after = [
        BTC, Recovered(LATER - 1, LATER - 1), VenueSnapshot(LATER, LATER, (report,), ()),
        *(an_approval(f"pp-r1-{n}") for n in range(1, 9)),
    ]  # fmt: skip
    history = order_path(random, 80)
    for n, event in enumerate(MONEY):
        history.insert(random.randrange(20 * n + 20), event)
    assert_snapshot_is_history(lambda: ExecutionCore("sim"), history, cut, after)


@settings(max_examples=40, deadline=None)
@given(random=st.randoms(use_true_random=False), cut=st.integers(0, 80))
def test_restored_paper_account_is_the_one_of_the_whole_history(random: Random, cut: int) -> None:
    after = [BTC, Recovered(LATER - 1, LATER - 1), *(an_approval(f"pp-r1-{n}") for n in range(9))]
    assert_snapshot_is_history(a_paper, order_path(random, 80), cut, after)


def test_approval_that_cannot_be_handled_is_rejected_unless_it_may_have_been_sent() -> None:
    core = ExecutionCore("sim")
    core.handle(OrderSubmitted(1, 1, "pp-r-2", "pp", "sim", "BTC-USDT"))
    core.handle(Recovered(2, 2))
    (rejected,) = core.handle(MessageDead(3, 3, an_approval("pp-r-1"), "KeyError: x"))
    assert isinstance(rejected, OrderRejected)
    assert (rejected.client_order_id, rejected.reason) == ("pp-r-1", "INTERNAL_ERROR")
    assert core.handle(MessageDead(3, 3, an_approval("pp-r-2"), "KeyError: x")) == ()
