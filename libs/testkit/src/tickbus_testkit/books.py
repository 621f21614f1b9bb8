"""Our books beside a simulated exchange's own: every order, fill, fee, balance, position, payment.

All of it compares decimals to the last digit, and says each disagreement in words; an empty list is
agreement. `venue` is what the platform calls the exchange; "" where there is only one.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, NamedTuple

Record = dict[str, Any]
ZERO = Decimal(0)


class Ours(NamedTuple):
    """What our gateway tells of the books, as JSON; `payments` are postings that no fill made."""

    orders: list[Record]
    fills: list[Record]
    portfolio: Record
    payments: list[Record]

    def at(self, venue: str) -> "Ours":
        """What of it is at `venue`."""

        def here(records: list[Record]) -> list[Record]:
            return [record for record in records if venue in ("", record["venue"])]

        kept = ("balances", "positions", "differences")
        portfolio = {**self.portfolio, **{name: here(self.portfolio[name]) for name in kept}}
        return Ours(here(self.orders), here(self.fills), portfolio, here(self.payments))


Compare = Callable[[Ours, Record], list[str]]
"""Ours at one venue, and the whole ledger of its exchange."""


def spot(ours: Ours, ledger: Record) -> list[str]:
    """Where our books and an exchange's spot account disagree."""
    found = _orders(ours, ledger["orders"], _their_order)
    found += _fills(ours, ledger["fills"], _their_fill)
    found += differing(
        "balance",
        {b["asset"]: Decimal(b["total"]) for b in ours.portfolio["balances"]},
        {asset: Decimal(b["total"]) for asset, b in ledger["balances"].items()},
    )
    opening = {asset: Decimal(amount) for asset, amount in ledger["initial_balances"].items()}
    for position in ours.portfolio["positions"]:
        base = position["instrument_id"].partition("-")[0]
        change = Decimal(ledger["balances"][base]["total"]) - opening.get(base, ZERO)
        if Decimal(position["quantity"]) != change:
            found.append(f"position {base}: ours {position['quantity']}, theirs {change}")
    return [*found, *map(str, ours.portfolio["differences"])]


def futures(ours: Ours, ledger: Record) -> list[str]:
    """Where our books and an exchange's USD-M account disagree; spot was not traded."""
    theirs = ledger["futures"]
    orders = _with_conditional(theirs["orders"], theirs["algo_orders"])
    found = _orders(ours, orders, _their_contract_order)
    names = {a["actualOrderId"]: f"{ALGO}{a['clientAlgoId']}" for a in theirs["algo_orders"]}
    told = [f | {"orderId": names.get(str(f["orderId"]), f["orderId"])} for f in theirs["fills"]]
    found += _fills(ours, told, _their_contract_fill)
    wallet = {b["asset"]: Decimal(b["total"]) for b in ours.portfolio["balances"]}
    found += differing("wallet", wallet, {"USDT": Decimal(theirs["wallet"])})
    found += differing(
        "position",
        {p["symbol"]: Decimal(p["quantity"]) for p in ours.portfolio["positions"]},
        {symbol: Decimal(p["quantity"]) for symbol, p in theirs["positions"].items()},
    )
    # Funding is shared among strategies: a line for each.
    paid = _sums((payment["reference"], payment["amount"]) for payment in ours.payments)
    found += differing("payment", paid, _their_payments(theirs["income"]))
    return [*found, *map(str, ours.portfolio["differences"])]


def parts(orders: Iterable[Record], fills: Iterable[Record]) -> list[str]:
    """Where an order for the venue `smart`, its parts, and their fills at the venues disagree."""
    wholes: dict[str, Record] = {}
    at_venues: list[Record] = []
    found: list[str] = []
    for order in orders:
        if order["working"]:
            found.append(f"{order['id']} still works: {order['state']}")
        if order["venue"] == "smart":
            wholes[order["id"]] = order
        else:
            at_venues.append(order)
    filled = _sums((fill["order_id"], fill["quantity"]) for fill in fills)
    told = {o["id"]: Decimal(o["filled_quantity"]) for o in at_venues}
    found += differing("filled quantity, by the fills,", told, dict.fromkeys(told, ZERO) | filled)
    of_whole = _sums((o["parent"], o["filled_quantity"]) for o in at_venues if o["parent"])
    found += [
        f"{parent} has parts and is in no books" for parent in of_whole if parent not in wholes
    ]
    for order in wholes.values():
        whole, all_parts = Decimal(order["filled_quantity"]), of_whole.get(order["id"], ZERO)
        if whole != all_parts or whole > Decimal(order["quantity"]):
            found.append(f"{order['id']}: whole {whole} of {order['quantity']}, parts {all_parts}")
    return found


def differing(what: str, ours: dict[Any, Any], theirs: dict[Any, Any]) -> list[str]:
    """What is not the same on both sides, in the order of ours."""
    return [
        f"{what} {key}: ours {ours.get(key)}, theirs {theirs.get(key)}"
        for key in [*ours, *(key for key in theirs if key not in ours)]
        if ours.get(key) != theirs.get(key)
    ]


def _sums(amounts: Iterable[tuple[str, str]]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for name, amount in amounts:
        found[name] = found.get(name, ZERO) + Decimal(amount)
    return found


# -- orders ----------------------------------------------------------------------------------------

_ENDED = {"FILLED", "CANCELED", "EXPIRED"}
OF_THE_VENUE = "autoclose-"
"""How the client ids of orders begin that a futures venue makes; ours are named by its own id."""
EXTERNAL = "ext-"
ALGO = "algo-"
"""How the venue ids of conditional orders begin, before and after their trigger."""


def _orders(ours: Ours, theirs: list[Record], read: Callable[[Record], Any]) -> list[str]:
    # What was not sent must not be at the exchange: there it would be one too many.
    sent = [order for order in ours.orders if not _was_never_sent(order)]
    names = Counter(order["clientOrderId"] for order in theirs)
    twice = [f"order {name}: placed {count} times" for name, count in names.items() if count > 1]
    named = {_their_name(order): read(order) for order in theirs}
    return twice + differing("order", {o["id"]: _order(o, is_contract(o)) for o in sent}, named)


def _was_never_sent(o: Record) -> bool:
    return o["state"] in ("DENIED", "REJECTED") or o["reason"] == "NEVER_SENT"


def _their_name(o: Record) -> str:
    name: str = o["clientOrderId"]
    return f"{EXTERNAL}{o['orderId']}" if name.startswith(OF_THE_VENUE) else name


def is_contract(o: Record) -> bool:
    """Whether an order of ours is for a derivative."""
    return str(o["instrument_id"]).count("-") > 1


def _order(o: Record, contract: bool) -> tuple[Any, ...]:
    state = o["state"] if o["state"] in _ENDED else "WORKING"
    if o["reason"] == "CUT_BY_VENUE":
        state = "FILLED"
    # A futures venue takes an order that may only reduce for no more than the position.
    wanted = None if contract and o["reduce_only"] else Decimal(o["quantity"])
    amounts = (wanted, Decimal(o["filled_quantity"]))
    if o["id"].startswith(EXTERNAL):
        return (o["symbol"], o["side"], amounts[1], o["venue_order_id"], state)
    limit, post_only = o["type"] == "LIMIT", o["post_only"]
    # Binance shows GTC for what has no time in force.
    lasts = o["time_in_force"] if limit and not post_only else "GTC"
    kind = o["type"]
    if post_only and contract:
        lasts = "GTX"
    elif post_only:
        kind = "LIMIT_MAKER"
    terms: tuple[Any, ...] = (kind, Decimal(o["price"] or 0), lasts)
    if contract:
        terms = (*terms, Decimal(o["trigger_price"] or 0))
    return (o["symbol"], o["side"], *terms, *amounts, o["venue_order_id"], state)


def _their_order(o: Record) -> tuple[Any, ...]:
    terms = (o["type"], Decimal(o["price"]), o["timeInForce"])
    amounts = (Decimal(o["origQty"]), Decimal(o["executedQty"]))
    return (o["symbol"], o["side"], *terms, *amounts, str(o["orderId"]), _their_state(o))


def _their_contract_order(o: Record) -> tuple[Any, ...]:
    wanted = None if o["reduceOnly"] else Decimal(o["origQty"])
    amounts, tail = (wanted, Decimal(o["executedQty"])), (str(o["orderId"]), _their_state(o))
    if o["clientOrderId"].startswith(OF_THE_VENUE):
        return (o["symbol"], o["side"], amounts[1], *tail)
    terms = (o["type"], Decimal(o["price"]), o["timeInForce"], Decimal(o.get("triggerPrice", 0)))
    return (o["symbol"], o["side"], *terms, *amounts, *tail)


def _with_conditional(orders: list[Record], algos: list[Record]) -> list[Record]:
    """Each conditional order once, with what became of it; a refused one was never there."""
    names = {algo["clientAlgoId"] for algo in algos}
    became = {o["clientOrderId"]: o for o in orders if o["clientOrderId"] in names}
    found = [o for o in orders if o["clientOrderId"] not in names]
    for algo in algos:
        name = algo["clientAlgoId"]
        order = became.get(name, {"executedQty": "0", "status": algo["algoStatus"]})
        if order["status"] != "REJECTED":
            found.append({
                **algo, "clientOrderId": name, "orderId": f"{ALGO}{name}",
                "type": algo["orderType"], "origQty": algo["quantity"],
                "executedQty": order["executedQty"], "status": order["status"],
            })  # fmt: skip
    return found


def _their_state(o: Record) -> str:
    status = "EXPIRED" if o["status"] == "EXPIRED_IN_MATCH" else o["status"]
    return status if status in _ENDED else "WORKING"


# -- fills and payments ----------------------------------------------------------------------------


def _fills(ours: Ours, theirs: list[Record], read: Callable[[Record], Any]) -> list[str]:
    mine = Counter((f["symbol"], int(f["id"])) for f in ours.fills)
    twice = [f"fill {key}: booked {count} times" for key, count in mine.items() if count > 1]
    return twice + differing(
        "fill",
        {(f["symbol"], int(f["id"])): _fill(f) for f in ours.fills},
        {(f["symbol"], f["id"]): read(f) for f in theirs},
    )


def _fill(f: Record) -> tuple[Any, ...]:
    numbers = (Decimal(f[key]) for key in ("price", "quantity", "fee"))
    return (*numbers, f["fee_asset"], f["side"], f["liquidity"], f["venue_order_id"])


def _their_fill(f: Record) -> tuple[Any, ...]:
    return _filled(f, f["isBuyer"], f["isMaker"])


def _their_contract_fill(f: Record) -> tuple[Any, ...]:
    return _filled(f, f["buyer"], f["maker"])


def _filled(f: Record, buyer: bool, maker: bool) -> tuple[Any, ...]:
    numbers = (Decimal(f[key]) for key in ("price", "qty", "commission"))
    side, liquidity = "BUY" if buyer else "SELL", "MAKER" if maker else "TAKER"
    return (*numbers, f["commissionAsset"], side, liquidity, str(f["orderId"]))


_OF_FILLS = ("REALIZED_PNL", "COMMISSION")


def _their_payments(income: list[Record]) -> dict[str, Decimal]:
    return _sums(
        (":".join(filter(None, (i["incomeType"], str(i["tranId"]), i["symbol"]))), i["income"])
        for i in income
        if i["incomeType"] not in _OF_FILLS
    )
