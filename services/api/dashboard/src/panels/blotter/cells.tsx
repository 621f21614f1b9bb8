/** Columns that tables of orders share. */
import type { Instrument, Order } from "../../api/types.ts";
import { placesOf } from "../../lib/decimal.ts";
import { money, NONE, quantity, words } from "../../lib/format.ts";
import { clock, day, moment, type Zone } from "../../lib/time.ts";
import { marketName, select } from "../../store/market.ts";
import type { Column } from "../../ui/Table.tsx";

/** What an order is: when, what, how much and at which price. */
export function columnsOf(instruments: ReadonlyMap<string, Instrument>, zone: Zone): readonly Column<Order>[] {
  const price = (order: Order): number => placesOf(instruments.get(marketName(order))?.tick_size ?? "0.01");
  const size = (order: Order): number => placesOf(instruments.get(marketName(order))?.lot_size ?? "0.001");
  const today = day(Date.now(), zone);
  return [
    {
      key: "time",
      head: "Time",
      minor: true,
      cell: ({ created_at: at }) =>
        at ? <time title={moment(at, zone)}>{day(at, zone) === today ? clock(at, zone) : moment(at, zone)}</time> : NONE,
    },
    {
      key: "market",
      head: "Market",
      cell: (order) => (
        <button type="button" className="link" onClick={() => select(order)}>
          {order.instrument_id}
        </button>
      ),
    },
    { key: "venue", head: "Venue", minor: true, cell: (order) => order.venue },
    { key: "side", head: "Side", cell: (order) => <span className={order.side === "BUY" ? "up" : "down"}>{words(order.side)}</span> },
    {
      key: "type",
      head: "Type",
      minor: true,
      cell: (order) => <span title={order.expires_at ? `until ${moment(order.expires_at, zone)}` : undefined}>{typeOf(order)}</span>,
    },
    { key: "quantity", head: "Quantity", numeric: true, cell: (order) => quantity(order.quantity, size(order)) },
    { key: "filled", head: "Filled", numeric: true, minor: true, cell: (order) => quantity(order.filled_quantity, size(order)) },
    { key: "price", head: "Price", numeric: true, cell: (order) => money(order.price, price(order)) },
    { key: "trigger", head: "Trigger", numeric: true, minor: true, cell: (order) => money(order.trigger_price, price(order)) },
  ];
}

function typeOf(order: Order): string {
  const flags = [
    order.time_in_force === "GTC" ? "" : order.time_in_force,
    order.post_only ? "post" : "",
    order.reduce_only ? "reduce" : "",
  ].filter((flag) => flag !== "");
  return [words(order.type), ...flags].join(" ");
}
