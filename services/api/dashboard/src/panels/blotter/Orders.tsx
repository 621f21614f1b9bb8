/** Working orders: replace and cancel, one by one or all of an instrument. */
import { useState, type FormEvent } from "react";
import { cancel, cancelAll, replace } from "../../api/actions.ts";
import type { Instrument, Order } from "../../api/types.ts";
import { words } from "../../lib/format.ts";
import { useStore } from "../../store/create.ts";
import { marketName, useInstruments } from "../../store/market.ts";
import { preferences } from "../../store/preferences.ts";
import { may, session } from "../../store/session.ts";
import { Dialog } from "../../ui/Dialog.tsx";
import { Table, type Column } from "../../ui/Table.tsx";
import { columnsOf } from "./cells.tsx";

/** Whose orders people may replace; a strategy would not know the order in its place. */
const BY_HAND = "manual";

export function Orders({ orders }: { orders: readonly Order[] }): React.ReactNode {
  const instruments = useInstruments();
  const { zone } = useStore(preferences);
  const mayTrade = may(useStore(session), "trade");
  const [changing, setChanging] = useState<Order | null>(null);
  const columns: readonly Column<Order>[] = [
    ...columnsOf(instruments, zone),
    { key: "state", head: "State", minor: true, cell: (order) => words(order.state) },
    { key: "strategy", head: "Strategy", minor: true, cell: (order) => order.strategy },
    {
      key: "actions",
      head: <span className="hidden">Actions</span>,
      cell: (order) => (
        <span className="row-actions">
          {order.strategy === BY_HAND && (
            <button type="button" className="button button-small" disabled={!mayTrade} onClick={() => setChanging(order)}>
              Replace
            </button>
          )}
          <button
            type="button"
            className="button button-small"
            disabled={!mayTrade}
            aria-label={`Cancel ${order.side} ${order.quantity} ${order.instrument_id}`}
            onClick={() => void cancel(order)}
          >
            Cancel
          </button>
        </span>
      ),
    },
  ];
  return (
    <>
      <Table
        label="Working orders"
        columns={columns}
        rows={orders}
        rowKey={(order) => order.id}
        empty="No working orders."
      />
      {changing && (
        <Replace order={changing} instrument={instruments.get(marketName(changing))} onClose={() => setChanging(null)} />
      )}
    </>
  );
}

export function OrdersTools({ orders }: { orders: readonly Order[] }): React.ReactNode {
  const mayTrade = may(useStore(session), "trade");
  const [asks, setAsks] = useState(false);
  return (
    <>
      <button type="button" className="button button-small" disabled={orders.length === 0 || !mayTrade} onClick={() => setAsks(true)}>
        Cancel all
      </button>
      {asks && (
        <Dialog title="Cancel all orders" onClose={() => setAsks(false)}>
          <p>
            {orders.length} working {orders.length === 1 ? "order" : "orders"}, those of strategies
            included. Strategies go on and may place new ones.
          </p>
          <div className="dialog-buttons">
            <button type="button" className="button" onClick={() => setAsks(false)}>
              Back
            </button>
            <button
              type="button"
              className="button button-danger"
              onClick={() => {
                setAsks(false);
                void cancelAll({});
              }}
            >
              Cancel {orders.length}
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}

interface ReplaceProps {
  readonly order: Order;
  readonly instrument: Instrument | undefined;
  readonly onClose: () => void;
}

function Replace({ order, instrument, onClose }: ReplaceProps): React.ReactNode {
  const [busy, setBusy] = useState(false);
  async function submit(event: FormEvent<HTMLFormElement>): Promise<void> {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const price = String(form.get("price") ?? "").trim();
    const size = String(form.get("quantity") ?? "").trim();
    const trigger = String(form.get("trigger") ?? "").trim();
    setBusy(true);
    const answer = await replace(order, {
      ...(price !== "" && price !== order.price ? { price } : {}),
      ...(size !== "" && size !== order.quantity ? { quantity: size } : {}),
      ...(trigger !== "" && trigger !== order.trigger_price ? { trigger_price: trigger } : {}),
    });
    setBusy(false);
    if (answer) onClose();
  }
  return (
    <Dialog title="Replace order" onClose={onClose}>
      <p>
        {words(order.side)} {order.quantity} {order.instrument_id} at {order.venue}
      </p>
      <form onSubmit={(event) => void submit(event)}>
        {order.price !== null && (
          <label className="field">
            Price{instrument ? `, ${instrument.quote}` : ""}
            <input name="price" inputMode="decimal" autoComplete="off" defaultValue={order.price} autoFocus />
          </label>
        )}
        {order.trigger_price !== null && (
          <label className="field">
            Trigger price{instrument ? `, ${instrument.quote}` : ""}
            <input name="trigger" inputMode="decimal" autoComplete="off" defaultValue={order.trigger_price} />
          </label>
        )}
        <label className="field">
          Quantity{instrument ? `, ${instrument.base}` : ""}
          <input name="quantity" inputMode="decimal" autoComplete="off" defaultValue={order.quantity} />
        </label>
        <div className="dialog-buttons">
          <button type="button" className="button" onClick={onClose}>
            Back
          </button>
          <button type="submit" className="button button-primary" disabled={busy}>
            Replace
          </button>
        </div>
      </form>
    </Dialog>
  );
}
