/** The newest fills. */
import type { Fill } from "../../api/types.ts";
import { placesOf } from "../../lib/decimal.ts";
import { money, NONE, quantity, words } from "../../lib/format.ts";
import { clockMs, day, moment } from "../../lib/time.ts";
import { useStore } from "../../store/create.ts";
import { marketName, select, useInstruments } from "../../store/market.ts";
import { preferences } from "../../store/preferences.ts";
import { useTopic } from "../../stream/use.ts";
import { Table, type Column } from "../../ui/Table.tsx";

export function Fills(): React.ReactNode {
  const fills = useTopic("fills").data;
  const instruments = useInstruments();
  const { zone } = useStore(preferences);
  const today = day(Date.now(), zone);
  const columns: readonly Column<Fill>[] = [
    {
      key: "time",
      head: "Time",
      cell: ({ at }) =>
        at ? <time title={moment(at, zone)}>{day(at, zone) === today ? clockMs(at, zone) : moment(at, zone)}</time> : NONE,
    },
    {
      key: "market",
      head: "Market",
      cell: (fill) => (
        <button type="button" className="link" onClick={() => select(fill)}>
          {fill.instrument_id}
        </button>
      ),
    },
    { key: "venue", head: "Venue", minor: true, cell: (fill) => fill.venue },
    { key: "side", head: "Side", cell: (fill) => <span className={fill.side === "BUY" ? "up" : "down"}>{words(fill.side)}</span> },
    {
      key: "quantity",
      head: "Quantity",
      numeric: true,
      cell: (fill) => quantity(fill.quantity, placesOf(instruments.get(marketName(fill))?.lot_size ?? "0.001")),
    },
    {
      key: "price",
      head: "Price",
      numeric: true,
      cell: (fill) => money(fill.price, placesOf(instruments.get(marketName(fill))?.tick_size ?? "0.01")),
    },
    { key: "fee", head: "Fee", numeric: true, minor: true, cell: (fill) => `${quantity(fill.fee)} ${fill.fee_asset}` },
    { key: "liquidity", head: "Liquidity", minor: true, cell: (fill) => words(fill.liquidity) },
    { key: "strategy", head: "Strategy", minor: true, cell: (fill) => fill.strategy },
  ];
  return (
    <Table
      label="Fills"
      columns={columns}
      rows={fills ?? []}
      rowKey={(fill) => `${fill.venue}/${fill.instrument_id}/${fill.id}`}
      empty={fills ? "No fills yet." : "Not known yet."}
    />
  );
}
