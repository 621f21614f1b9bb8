/**
 * The depth ladder with our orders in it. A click on a bid buys there, a click on an ask sells there:
 * into the ticket, or at once where the user chose so. A click on our own quantity cancels it.
 */
import { memo, useCallback, useLayoutEffect, useRef, useState } from "react";
import { cancel, place } from "../../api/actions.ts";
import type { Instrument, Order, Side } from "../../api/types.ts";
import { placesOf } from "../../lib/decimal.ts";
import { market } from "../../lib/format.ts";
import { useStore } from "../../store/create.ts";
import { marketName, useInstrument } from "../../store/market.ts";
import { failed } from "../../store/notices.ts";
import { prefer, preferences } from "../../store/preferences.ts";
import { may, session } from "../../store/session.ts";
import { fillIn, ticket } from "../../store/ticket.ts";
import { useTopic } from "../../stream/use.ts";
import { Empty, Panel } from "../../ui/Panel.tsx";
import { ladder, type LadderRow } from "./levels.ts";
import { deepened, inSteps, stepsOf } from "./steps.ts";

const ROW_PX = 20;
const ROWS_MIN = 5;
const ROWS_MAX = 20;

export function Ladder(): React.ReactNode {
  const instrument = useInstrument();
  const name = instrument ? marketName(instrument) : "";
  const { oneClick, steps } = useStore(preferences);
  const { data: depth, problem } = useTopic(name === "" ? null : `depth:${name}`);
  const tickSize = instrument?.tick_size ?? "0.01";
  const offered = stepsOf(tickSize, depth?.bids[0]?.[0]);
  const ticks = steps[name] ?? 1;
  // Coarse rows need more of the book than the stream tells.
  const deep = useTopic(name === "" || ticks === 1 ? null : `book:${name}`).data;
  const orders = useTopic("orders").data;
  const mayTrade = may(useStore(session), "trade");
  const [body, count] = useRows();
  const rows = depth && inSteps(deepened(depth, deep), tickSize, ticks);
  const view = rows ? ladder(rows, orders ?? [], count, { tickSize, ticks }) : null;
  const places = {
    price: placesOf(tickSize),
    size: placesOf(instrument?.lot_size ?? "0.001"),
  };

  // One function for all rows and all times, so that a row is drawn anew only when it changed.
  const latest = useRef<(side: Side, price: number) => void>(() => undefined);
  latest.current = (side, price) => {
    if (!instrument || !mayTrade) return;
    const text = price.toFixed(places.price);
    fillIn({ side, price: text, kind: "LIMIT" });
    if (oneClick) void send(instrument, side, text);
  };
  const choose = useCallback((side: Side, price: number) => latest.current(side, price), []);

  return (
    <Panel
      title="Depth"
      problem={depth?.stale ? "stale" : problem}
      className="ladder"
      tools={
        <>
          <select
            className="select-small"
            aria-label="Step of the ladder"
            title="What stands within a step is one row"
            value={ticks}
            disabled={name === ""}
            onChange={(event) => prefer({ steps: { ...steps, [name]: Number(event.target.value) } })}
          >
            {(offered.some((step) => step.ticks === ticks) ? offered : [...offered, { ticks, text: `${ticks} ticks` }]).map(
              (step) => (
                <option key={step.ticks} value={step.ticks}>
                  {step.text}
                </option>
              ),
            )}
          </select>
          <label className="check" title="A click sends the ticket's quantity at once">
            <input
              type="checkbox"
              checked={oneClick}
              disabled={!mayTrade}
              onChange={(event) => prefer({ oneClick: event.target.checked })}
            />
            One click
          </label>
        </>
      }
    >
      <div className="ladder-body" ref={body}>
        {!view && <Empty>No book yet.</Empty>}
        {view && (
          <>
            <Rows side="SELL" rows={[...view.asks].reverse()} count={count} places={places} onChoose={choose} />
            <div className="ladder-spread">
              <span>Spread {market(depth?.spread, places.price)}</span>
              <span>Imbalance {market(depth?.imbalance, 2)}</span>
            </div>
            <Rows side="BUY" rows={view.bids} count={count} places={places} onChoose={choose} />
          </>
        )}
      </div>
    </Panel>
  );
}

async function send(instrument: Instrument, side: Side, price: string): Promise<void> {
  const { quantity } = ticket.get();
  if (quantity.trim() === "") {
    failed("One click needs a quantity in the ticket", "type one, then click again; nothing was sent");
    return;
  }
  await place({ symbol: instrument.instrument_id, venue: instrument.venue, side, quantity, price });
}

/** How many rows a side fit: measured, so that nothing jumps when the book gets longer. */
function useRows(): [React.RefObject<HTMLDivElement | null>, number] {
  const body = useRef<HTMLDivElement>(null);
  const [count, setCount] = useState(10);
  useLayoutEffect(() => {
    const element = body.current;
    if (!element) return undefined;
    const observer = new ResizeObserver(([entry]) => {
      const height = entry?.contentRect.height ?? 0;
      const fit = Math.floor((height - ROW_PX) / 2 / ROW_PX);
      setCount(Math.max(ROWS_MIN, Math.min(ROWS_MAX, fit)));
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [body, count];
}

interface RowsProps {
  readonly side: Side;
  readonly rows: readonly LadderRow[];
  readonly count: number;
  readonly places: { readonly price: number; readonly size: number };
  readonly onChoose: (side: Side, price: number) => void;
}

function Rows({ side, rows, count, places, onChoose }: RowsProps): React.ReactNode {
  const missing = Array.from({ length: Math.max(0, count - rows.length) }, (_, index) => (
    <div key={`none${index}`} className="ladder-row" />
  ));
  return (
    <div className={`ladder-side ladder-${side}`} role="list" aria-label={side === "BUY" ? "Bids" : "Asks"}>
      {side === "SELL" && missing}
      {rows.map((row) => (
        <Row key={row.price} side={side} row={row} places={places} onChoose={onChoose} />
      ))}
      {side === "BUY" && missing}
    </div>
  );
}

interface RowProps {
  readonly side: Side;
  readonly row: LadderRow;
  readonly places: { readonly price: number; readonly size: number };
  readonly onChoose: (side: Side, price: number) => void;
}

const Row = memo(
  function Row({ side, row, places, onChoose }: RowProps): React.ReactNode {
    const price = market(row.price, places.price);
    return (
      <div className={row.ours ? "ladder-row ladder-ours" : "ladder-row"} role="listitem">
        <span className="ladder-bar" style={{ width: `${(row.share * 100).toFixed(1)}%` }} aria-hidden="true" />
        {row.ours ? (
          <button
            type="button"
            className="ladder-own"
            title="ours; a click cancels it"
            aria-label={`Cancel ours at ${price}: ${row.ours}`}
            onClick={() => void cancelAllOf(row.orders)}
          >
            {row.ours} ×
          </button>
        ) : (
          <span />
        )}
        <button
          type="button"
          className="ladder-level"
          aria-label={`${side === "BUY" ? "Buy" : "Sell"} at ${price}`}
          onClick={() => onChoose(side, row.price)}
        >
          <span className="ladder-size">{market(row.size, places.size)}</span>
          <span className={side === "BUY" ? "up" : "down"}>{price}</span>
        </button>
      </div>
    );
  },
  (a, b) =>
    a.side === b.side &&
    a.row.price === b.row.price &&
    a.row.size === b.row.size &&
    a.row.share === b.row.share &&
    a.row.ours === b.row.ours &&
    a.row.orders.length === b.row.orders.length &&
    a.places.price === b.places.price &&
    a.places.size === b.places.size &&
    a.onChoose === b.onChoose,
);

async function cancelAllOf(orders: readonly Order[]): Promise<void> {
  await Promise.all(orders.map(cancel));
}
