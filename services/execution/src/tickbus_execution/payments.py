"""What Binance says of money that moved without a fill of ours: transfers, funding, fees."""

from decimal import Decimal
from typing import Any

from tickbus.events import AdjustmentCause
from tickbus_execution.venue import Payment
from tickbus_execution.wire import MS_NS

CAUSES = {
    "FUNDING_FEE": AdjustmentCause.FUNDING,
    "TRANSFER": AdjustmentCause.TRANSFER,
    "INTERNAL_TRANSFER": AdjustmentCause.TRANSFER,
    "CROSS_COLLATERAL_TRANSFER": AdjustmentCause.TRANSFER,
    "STRATEGY_UMFUTURES_TRANSFER": AdjustmentCause.TRANSFER,
    "COIN_SWAP_DEPOSIT": AdjustmentCause.CONVERSION,
    "COIN_SWAP_WITHDRAW": AdjustmentCause.CONVERSION,
    "AUTO_EXCHANGE": AdjustmentCause.CONVERSION,
    "INSURANCE_CLEAR": AdjustmentCause.LIQUIDATION_FEE,
    "POSITION_LIMIT_INCREASE_FEE": AdjustmentCause.COMMISSION,
    "FEE_RETURN": AdjustmentCause.REBATE,
    "COMMISSION_REBATE": AdjustmentCause.REBATE,
    "API_REBATE": AdjustmentCause.REBATE,
    "REFERRAL_KICKBACK": AdjustmentCause.REBATE,
    "BFUSD_REWARD": AdjustmentCause.INTEREST,
}
"""By `incomeType`; ADJUSTMENT where not named, so that a type nobody knew yet is booked, too."""
OF_FILLS = frozenset({"REALIZED_PNL", "COMMISSION"})
"""What fills tell by themselves."""
PAYMENTS_PAGE = 1000


def income(body: dict[str, Any], instrument_id: str) -> Payment | None:
    """From an entry of `GET /fapi/v1/income`; None for what a fill tells.

    A transaction's id is unique within its type alone, and of one account.
    """
    kind, symbol = str(body["incomeType"]), str(body.get("symbol") or "")
    if kind in OF_FILLS:
        return None
    return Payment(
        ts_event=int(body["time"]) * MS_NS,
        asset=str(body["asset"]),
        amount=Decimal(body["income"]),
        cause=CAUSES.get(kind, AdjustmentCause.ADJUSTMENT),
        reference=":".join(filter(None, (kind, str(body["tranId"]), symbol))),
        instrument_id=instrument_id,
        detail=str(body.get("info") or ""),
    )


def balance_update(event: dict[str, Any]) -> Payment:
    """From a user stream's `balanceUpdate`, which has no id: its time and amount stand for one."""
    asset, amount = str(event["a"]), str(event["d"])
    return Payment(
        ts_event=int(event["T"]) * MS_NS,
        asset=asset,
        amount=Decimal(amount),
        cause=AdjustmentCause.TRANSFER,
        reference=f"{asset}:{event['T']}:{amount}",
    )
