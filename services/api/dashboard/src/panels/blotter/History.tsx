/** Every order there was, the newest first, with what became of it and why; filters, and a file. */
import { useState } from "react";
import { address, get, type Query } from "../../api/http.ts";
import type { Order } from "../../api/types.ts";
import { placesOf } from "../../lib/decimal.ts";
import { money, words } from "../../lib/format.ts";
import { useStore } from "../../store/create.ts";
import { marketName, useInstruments } from "../../store/market.ts";
import { preferences } from "../../store/preferences.ts";
import { showTrace } from "../../store/trace.ts";
import { useTopic } from "../../stream/use.ts";
import { Table, type Column } from "../../ui/Table.tsx";
import { usePoll } from "../poll.ts";
import { columnsOf } from "./cells.tsx";

const AGAIN_MS = 2_000;
const SHOWN = 200;
const STATES = ["FILLED", "CANCELED", "EXPIRED", "DENIED", "REJECTED"] as const;

export function History(): React.ReactNode {
  const instruments = useInstruments();
  const strategies = useTopic("strategies").data ?? [];
  const { zone } = useStore(preferences);
  const [filter, setFilter] = useState({ state: "", strategy: "", symbol: "" });
  const query: Query = Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== ""));
  const { data, problem } = usePoll(JSON.stringify(query), AGAIN_MS, async (signal) =>
    (await get<{ orders: Order[] }>("/orders", { ...query, limit: SHOWN }, signal)).orders,
  );
  const choice = (name: keyof typeof filter, label: string, options: readonly string[]): React.ReactNode => (
    <select
      className="select-small"
      aria-label={label}
      value={filter[name]}
      onChange={(event) => setFilter({ ...filter, [name]: event.target.value })}
    >
      <option value="">{label}</option>
      {options.map((option) => (
        <option key={option} value={option}>
          {name === "state" ? words(option) : option}
        </option>
      ))}
    </select>
  );
  const columns: readonly Column<Order>[] = [
    ...columnsOf(instruments, zone),
    {
      key: "paid",
      head: "Average",
      numeric: true,
      minor: true,
      cell: (order) => money(order.avg_fill_price, placesOf(instruments.get(marketName(order))?.tick_size ?? "0.01")),
    },
    { key: "state", head: "State", cell: (order) => <State of={order} /> },
    { key: "strategy", head: "Strategy", minor: true, cell: (order) => order.strategy },
    {
      key: "actions",
      head: <span className="hidden">Actions</span>,
      cell: (order) => (
        <span className="row-actions">
          <button type="button" className="button button-small" aria-label={`Trace ${order.id}`} onClick={() => showTrace(order.id)}>
            Trace
          </button>
        </span>
      ),
    },
  ];
  return (
    <div className="history">
      <div className="history-bar">
        {choice("state", "State", STATES)}
        {choice("strategy", "Strategy", ["manual", ...strategies.map((each) => each.id).sort()])}
        {choice("symbol", "Market", [...new Set([...instruments.values()].map((each) => each.instrument_id))].sort())}
        {problem !== "" && <span className="panel-problem">{problem}</span>}
        <a href={address("/orders", { ...query, format: "csv" })} download="orders.csv">
          CSV
        </a>
      </div>
      <Table label="Orders" columns={columns} rows={data ?? []} rowKey={(order) => order.id} empty={data ? "No order matches." : "Not known yet."} />
    </div>
  );
}

/** Where it ended, and why where that was not as wished. */
function State({ of }: { of: Order }): React.ReactNode {
  const why = [words(of.reason), of.detail].filter((text) => text !== "").join(": ");
  const isRefused = of.state === "DENIED" || of.state === "REJECTED";
  return (
    <span className={isRefused ? "down" : ""} title={why || undefined}>
      {words(of.state)}
      {of.reason !== "" && <span className="dim"> {words(of.reason)}</span>}
    </span>
  );
}
