/** Positions with their profit and loss, and a button that closes one at the market. */
import { useState } from "react";
import { place } from "../../api/actions.ts";
import type { Instrument, Position } from "../../api/types.ts";
import { absolute, decimal, floorTo, placesOf, plain, sign } from "../../lib/decimal.ts";
import { gain, money, quantity, signed, tone } from "../../lib/format.ts";
import { useStore } from "../../store/create.ts";
import { marketName, select, useInstruments } from "../../store/market.ts";
import { may, session } from "../../store/session.ts";
import { Dialog } from "../../ui/Dialog.tsx";
import { Table, type Column } from "../../ui/Table.tsx";

export function Positions({ positions }: { positions: readonly Position[] }): React.ReactNode {
  const instruments = useInstruments();
  const mayTrade = may(useStore(session), "trade");
  const [closing, setClosing] = useState<Position | null>(null);
  const pricePlaces = (position: Position): number =>
    placesOf(instruments.get(marketName(position))?.tick_size ?? "0.01");
  const sizePlaces = (position: Position): number =>
    placesOf(instruments.get(marketName(position))?.lot_size ?? "0.001");
  const columns: readonly Column<Position>[] = [
    {
      key: "market",
      head: "Market",
      cell: (position) => (
        <button type="button" className="link" onClick={() => select(position)}>
          {position.instrument_id}
        </button>
      ),
    },
    { key: "venue", head: "Venue", minor: true, cell: (position) => position.venue },
    {
      key: "quantity",
      head: "Quantity",
      numeric: true,
      cell: (position) => <span className={tone(position.quantity)}>{quantity(position.quantity, sizePlaces(position))}</span>,
    },
    { key: "entry", head: "Entry", numeric: true, minor: true, cell: (position) => money(position.avg_entry_price, pricePlaces(position)) },
    { key: "mark", head: "Mark", numeric: true, minor: true, cell: (position) => money(position.mark, pricePlaces(position)) },
    { key: "unrealized", head: "Unrealized", numeric: true, cell: (position) => <Gain value={position.unrealized_pnl} /> },
    { key: "realized", head: "Realized", numeric: true, minor: true, cell: (position) => <Gain value={position.realized_pnl} /> },
    { key: "fees", head: "Fees", numeric: true, minor: true, cell: (position) => money(position.fees) },
    { key: "net", head: "Net", numeric: true, cell: (position) => <Gain value={position.net_pnl} /> },
    {
      key: "actions",
      head: <span className="hidden">Actions</span>,
      cell: (position) => (
        <span className="row-actions">
          <button
            type="button"
            className="button button-small"
            disabled={!mayTrade}
            aria-label={`Close ${position.instrument_id}`}
            onClick={() => setClosing(position)}
          >
            Close
          </button>
        </span>
      ),
    },
  ];
  const instrument = closing ? instruments.get(marketName(closing)) : undefined;
  return (
    <>
      <Table label="Positions" columns={columns} rows={positions} rowKey={marketName} empty="No positions: flat." />
      {closing && instrument && <Close position={closing} instrument={instrument} onClose={() => setClosing(null)} />}
    </>
  );
}

function Gain({ value }: { value: string }): React.ReactNode {
  return <span className={gain(value)}>{signed(value)}</span>;
}

interface CloseProps {
  readonly position: Position;
  readonly instrument: Instrument;
  readonly onClose: () => void;
}

function Close({ position, instrument, onClose }: CloseProps): React.ReactNode {
  const [busy, setBusy] = useState(false);
  const held = decimal(position.quantity);
  const size = plain(floorTo(absolute(held), decimal(instrument.lot_size)));
  const side = sign(held) > 0 ? "SELL" : "BUY";
  const isDust = size === "0";

  async function close(): Promise<void> {
    setBusy(true);
    const answer = await place({ symbol: instrument.instrument_id, venue: instrument.venue, side, type: "MARKET", quantity: size });
    setBusy(false);
    if (answer) onClose();
  }

  return (
    <Dialog title="Close position" onClose={onClose}>
      <p>
        {isDust
          ? `${quantity(position.quantity)} ${instrument.base} is less than one lot (${instrument.lot_size}): the venue takes no order for it.`
          : `${side === "SELL" ? "Sell" : "Buy"} ${size} ${instrument.base} at the market at ${instrument.venue}. A strategy that trades ${instrument.instrument_id} goes on.`}
      </p>
      <div className="dialog-buttons">
        <button type="button" className="button" onClick={onClose}>
          Back
        </button>
        <button type="button" className={`button button-${side}`} disabled={busy || isDust} onClick={() => void close()}>
          {side === "SELL" ? "Sell" : "Buy"} {size} {instrument.base}
        </button>
      </div>
    </Dialog>
  );
}
