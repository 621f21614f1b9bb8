"""Answers to questions about limits and orders; a bad question gets a reason, never silence."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from tickbus import codec, risk_api
from tickbus.bus import Responder
from tickbus.codec import MalformedMessage
from tickbus.events import SubmitOrder
from tickbus.reasons import MEANINGS
from tickbus.risk_api import PreviewAnswer, PreviewQuery, RiskRefusal, UsageAnswer, UsageQuery
from tickbus_risk.core import RiskCore

ZERO = Decimal(0)


class Answers:
    """What risk answers out of the memory of `core`; nothing of it changes by that."""

    def __init__(self, core: RiskCore) -> None:
        self._core = core

    def responders(self) -> Mapping[str, Responder]:
        """Every question's subject with what answers it."""
        return {
            risk_api.USAGE: self._answering(UsageQuery, self._usage),
            risk_api.PREVIEW: self._answering(PreviewQuery, self._preview),
        }

    def _answering(self, kind: type[Any], answer: Callable[[Any], msgspec.Struct]) -> Responder:
        async def respond(payload: bytes) -> bytes:
            try:
                query = codec.decode_value(payload, kind)
            except MalformedMessage as error:
                return codec.encode_value(RiskRefusal(reason=str(error)))
            if not self._core.is_live:
                reason = "risk is still reading what happened before it started: try again"
                return codec.encode_value(RiskRefusal(reason=reason))
            return codec.encode_value(answer(query))

        return respond

    def _usage(self, query: UsageQuery) -> UsageAnswer:
        usage, currency = self._core.usage()
        return UsageAnswer(currency=currency, limits=tuple(usage.limits(query.scope)))

    def _preview(self, query: PreviewQuery) -> PreviewAnswer:
        request, denial = self._core.preview(query.order)
        order = query.order
        price = notional = None
        # A number that is none is refused before anything is reckoned with it.
        if request.instrument is not None and request.top is not None and _is_sound(order):
            price = request.expected_price
            notional = request.rules.notional(price, order.quantity)
        position = request.book.position(order.venue, order.instrument_id)
        change = order.side.sign * order.quantity if _is_sound(order) else ZERO
        meaning, remedy = ("", "") if denial is None else MEANINGS[denial.reason]
        return PreviewAnswer(
            meaning=meaning,
            remedy=remedy,
            reason="" if denial is None else denial.reason,
            detail="" if denial is None else denial.detail,
            price=price,
            notional=notional,
            position=position,
            position_after=position + change,
        )


def _is_sound(order: SubmitOrder) -> bool:
    numbers = (order.quantity, order.price, order.trigger_price)
    return all(
        number is None or (number.is_finite() and abs(number.adjusted()) < 40) for number in numbers
    )
