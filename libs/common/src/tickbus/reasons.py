"""What each denial reason means, and what helps: risk, the gateway and the page say the same."""

from tickbus.events import DenialReason as R

MEANINGS: dict[R, tuple[str, str]] = {
    R.TRADING_HALTED: (
        "Trading is halted; only cancels pass.",
        "Resume with `ACTIVE`: `tickbus resume`.",
    ),
    R.TRADING_REDUCING_ONLY: (
        "Only what shrinks a position passes: the state is `REDUCING` or the order `reduce_only`."
        " It is the account's position, less all that works on that side.",
        "Send at most the quantity in `limit`, on the other side of the position; where that is 0,"
        " cancel what works there first.",
    ),
    R.ORDER_ID_DUPLICATE: ("The client order id was used before.", "Use each id once, for ever."),
    R.ORDER_ID_INVALID: (
        "An id is empty, too long or holds other characters than venues take.",
        "1 to 36 letters, digits, `_` or `-`.",
    ),
    R.INSTRUMENT_UNKNOWN: (
        "No feed has described the instrument at this venue.",
        "Check the spelling (`BTC-USDT`), and `venue.instruments`.",
    ),
    R.INSTRUMENT_NOT_TRADING: ("The venue has paused it.", "Wait for the venue."),
    R.QUANTITY_NOT_POSITIVE: ("The quantity is no number above 0.", "The side is in `side`."),
    R.QUANTITY_NOT_LOT_MULTIPLE: (
        "The quantity is not a whole number of lots.",
        "Round down to whole lots of `limit` (in a strategy: `instrument.quantity()`).",
    ),
    R.QUANTITY_BELOW_MIN: ("Less than the venue takes.", "Send more."),
    R.QUANTITY_ABOVE_MAX: ("More than the venue takes in one order.", "Split the order."),
    R.PRICE_MISSING: ("A LIMIT order has no price.", "Give a price, or send MARKET."),
    R.PRICE_UNEXPECTED: ("A MARKET order has a price.", "Leave it out, or send LIMIT."),
    R.PRICE_NOT_POSITIVE: ("The price is no number above 0.", "Correct the price."),
    R.PRICE_NOT_TICK_MULTIPLE: (
        "The price is not a whole number of ticks.",
        "Round to whole ticks of `limit` (in a strategy: `instrument.price()`).",
    ),
    R.PRICE_OUT_OF_RANGE: ("Outside the venue's price limits.", "Correct the price."),
    R.PRICE_DEVIATION_ABOVE_MAX: (
        "The price is too far from the middle of the book.",
        "Correct the price, or raise `price_deviation_bps_max`.",
    ),
    R.TRIGGER_PRICE_MISSING: (
        "A stop or take-profit has no trigger price.",
        "Give `trigger_price`, or send LIMIT or MARKET.",
    ),
    R.TRIGGER_PRICE_UNEXPECTED: (
        "A LIMIT or MARKET order has a trigger price.",
        "Leave it out, or send a stop or take-profit.",
    ),
    R.TRIGGER_PRICE_INVALID: (
        "The trigger price is no number above 0, no whole number of ticks, or out of range.",
        "Give one of whole ticks (in a strategy: `instrument.price()`).",
    ),
    R.TRIGGER_PRICE_REACHED: (
        "The market has passed the trigger price already.",
        "Send LIMIT or MARKET, or a trigger on the other side of the market.",
    ),
    R.TIME_IN_FORCE_INVALID: (
        "A post-only order must stand in the book: a LIMIT order, GTC or GTD.",
        "Correct the time in force, or set `post_only` to false.",
    ),
    R.EXPIRY_INVALID: (
        "A GTD order ends at `expires_ns`, at least a second ahead; others have none.",
        "Give a later time, or leave it out.",
    ),
    R.REPLACED_ORDER_NOT_WORKING: (
        "The order to be replaced is not known or over.",
        "Send a new order instead.",
    ),
    R.REPLACED_ORDER_MISMATCH: (
        "The order to be replaced is another strategy's, instrument's or side's.",
        "Cancel it, and send a new order.",
    ),
    R.NOTIONAL_BELOW_MIN: ("Worth less than the venue takes.", "Send more."),
    R.NOTIONAL_ABOVE_MAX: (
        "Worth more than one order may be.",
        "Split the order, or raise `order_notional_max`.",
    ),
    R.MARKET_DATA_MISSING: (
        "Bid or ask of the instrument is not known; with a `limit` such as `USD-USDT`, what its"
        " quote currency is worth in that of risk.",
        "Wait for feed and book, or see whether they run; for a rate add its instrument, or set"
        " `risk.currency` and `ledger.currency`.",
    ),
    R.MARKET_DATA_STALE: (
        "The book is out of sync, or older than allowed.",
        "Wait for the feed, or raise `market_data_age_ms_max`.",
    ),
    R.POSITION_ABOVE_MAX: (
        "With everything that works on this side filled, the position would be too large.",
        "Cancel or reduce, or raise `position_notional_max`.",
    ),
    R.ORDER_COUNT_ABOVE_MAX: (
        "The strategy has too many working orders.",
        "Cancel some, or raise `open_orders_max`.",
    ),
    R.ORDER_RATE_ABOVE_MAX: (
        "Too many orders within one second, of the strategy, at the venue or of all together.",
        "Send fewer, or raise `order_rate_per_s_max` or `total_order_rate_per_s_max`.",
    ),
    R.ORDERS_PER_FILL_ABOVE_MAX: (
        "Too many orders for the fills of the last ten minutes; `value` has orders, then fills.",
        "Wait, order less often, or raise `orders_per_fill_max` of the scope.",
    ),
    R.STRATEGY_STOPPED: (
        "The strategy was stopped, by somebody or by a limit on its losses; only cancels pass.",
        "See why in `GET /api/v1/risk/state`; resume with `tickbus resume --strategy`.",
    ),
    R.STRATEGY_HEARTBEAT_LOST: (
        "The strategy's process has been silent for too long; its orders were cancelled.",
        "See whether it runs; it trades again once it is heard.",
    ),
    R.GROSS_EXPOSURE_ABOVE_MAX: (
        "With this order, all positions and working orders together would be worth too much.",
        "Cancel or reduce, or raise `gross_exposure_max` of the scope.",
    ),
    R.NET_EXPOSURE_ABOVE_MAX: (
        "With this order, longs less shorts (or the reverse) would be worth too much.",
        "Cancel or reduce, or raise `net_exposure_max` of the scope.",
    ),
    R.BALANCE_UNKNOWN: (
        "The venue has not reported the account's balances yet.",
        "Wait for execution's first report, or set `balance_check: false`.",
    ),
    R.BALANCE_INSUFFICIENT: (
        "More than is free at the venue, less what orders on their way already need.",
        "Send less, cancel orders, or fund the account.",
    ),
    R.SELF_TRADE: (
        "It would meet one of our own working orders, whose price is in `limit`.",
        "Cancel that order first, or set `self_trade: venue`.",
    ),
    R.DAILY_LOSS_ABOVE_MAX: (
        "The day's net P&L, fees and unrealised in, has lost more than allowed; a stop follows.",
        "Resume with a reason: the loss then counts from there. Or raise `daily_loss_max`.",
    ),
    R.DRAWDOWN_ABOVE_MAX: (
        "Net P&L is further below its highest than allowed; a stop follows.",
        "Resume with a reason: it then counts from there. Or raise `drawdown_max`.",
    ),
    R.PROFIT_TARGET_REACHED: (
        "The day's net P&L has reached its target; a stop follows.",
        "Resume with a reason, or raise `profit_target`.",
    ),
    R.INTERNAL_ERROR: (
        "Risk itself failed at this order, every time, and it is kept as a dead letter; or a newer"
        " version of risk gave a reason that this version does not know.",
        "See `tickbus dead-letters`, report the error; the id is used up.",
    ),
    R.CANCEL_ORDER_UNKNOWN: (
        "A strategy's cancel names an order that risk does not know: never approved, or long over.",
        "Cancel by the order's own id; people may cancel anything.",
    ),
    R.CANCEL_NOT_OWNER: (
        "A strategy's cancel names an order of another strategy, which is in `limit`.",
        "Cancel own orders only; people may cancel anything.",
    ),
}
