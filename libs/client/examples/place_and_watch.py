"""Place an order far from the market, look at it, and cancel it: `python place_and_watch.py`."""

from decimal import Decimal

from tickbus_client import ApiError, Client

SYMBOL = "BTCUSDT"


def main() -> None:
    """Uses TICKBUS_API_URL and TICKBUS_API_KEY, by default the platform on this machine."""
    with Client() as desk:
        bid = desk.market.prices(SYMBOL).prices[0].bid
        if bid is None:
            raise SystemExit(f"nothing is known of {SYMBOL} yet")
        price = (Decimal(repr(bid)) * Decimal("0.97")).quantize(Decimal(1))
        try:
            order = desk.orders.place(SYMBOL, "BUY", "0.001", price, post_only=True)
        except ApiError as refusal:
            raise SystemExit(f"{refusal.code}: {refusal}") from refusal
        print(f"{order.id} is {order.state} at {order.price}")
        print(f"and then {desk.orders.cancel(order.id).state}")


if __name__ == "__main__":
    main()
