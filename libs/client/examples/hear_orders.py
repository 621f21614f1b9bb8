"""Print three things that the stream says of orders and prices: `python hear_orders.py`."""

import asyncio

from tickbus_client import AsyncClient
from tickbus_client.answers.streams import OrdersTold


async def main() -> None:
    """Uses TICKBUS_API_URL and TICKBUS_API_KEY, by default the platform on this machine."""
    async with AsyncClient() as desk, desk.stream("orders", "prices") as updates:
        left = 3
        async for update in updates:
            if update.topic == "orders" and update.kind != "gap":
                working = [o.id for o in update.read(OrdersTold).orders if o.working]
                print(f"orders, {update.kind}: {', '.join(working) or 'none works'}")
            else:
                print(f"{update.topic}, {update.kind}")
            left -= 1
            if not left:
                return


if __name__ == "__main__":
    asyncio.run(main())
