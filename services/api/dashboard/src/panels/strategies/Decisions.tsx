/** What the chosen strategy looked at when it decided, the newest first. */
import { useMemo, useState } from "react";
import { strategy, type Decision } from "../../api/strategies.ts";
import { NONE, recorded } from "../../lib/format.ts";
import { clockMs, moment } from "../../lib/time.ts";
import { useStore } from "../../store/create.ts";
import { preferences } from "../../store/preferences.ts";
import { Panel } from "../../ui/Panel.tsx";
import { Table, type Column } from "../../ui/Table.tsx";
import { usePoll } from "../poll.ts";
import { useStrategies } from "./chosen.ts";

const AGAIN_MS = 1_000;

/** A decision with what tells it from others of the same instant. */
type Row = Decision & { readonly key: string };

export function Decisions(): React.ReactNode {
  const { chosen } = useStrategies();
  const { zone } = useStore(preferences);
  const id = chosen?.id ?? "";
  const held = usePoll(id, AGAIN_MS, async (signal) => (id === "" ? [] : ((await strategy(id, signal)).decisions ?? [])));
  const [withOrders, setWithOrders] = useState(false);
  const rows = useMemo(
    () => keyed(held.data ?? []).filter((row) => !withOrders || row.orders.length > 0),
    [held.data, withOrders],
  );
  const columns: readonly Column<Row>[] = [
    {
      key: "time",
      head: "Time",
      cell: ({ decided_at: at }) => (at ? <time title={moment(at, zone)}>{clockMs(at, zone)}</time> : NONE),
    },
    { key: "market", head: "Market", cell: (each) => `${each.instrument_id}@${each.venue}` },
    {
      key: "inputs",
      head: "Decided on",
      cell: ({ inputs }) => (
        <span className="inputs">
          {Object.entries(inputs).map(([name, value]) => (
            <span key={name} title={value}>
              <span className="dim">{name}</span> {recorded(value)}
            </span>
          ))}
        </span>
      ),
    },
    { key: "orders", head: "Orders", cell: ({ orders }) => orders.join(", ") || NONE },
  ];
  return (
    <Panel
      title="Decisions"
      problem={held.problem}
      tools={
        <label className="check">
          <input type="checkbox" checked={withOrders} onChange={(event) => setWithOrders(event.target.checked)} />
          With orders only
        </label>
      }
    >
      <Table
        label="Decisions"
        columns={columns}
        rows={rows}
        rowKey={(each) => each.key}
        empty={id === "" ? "Nothing chosen." : "Nothing decided yet, or nothing that was ordered."}
      />
    </Panel>
  );
}

/** The decisions with keys that stay theirs as newer ones come above them. */
function keyed(decisions: readonly Decision[]): readonly Row[] {
  const seen = new Map<string, number>();
  return [...decisions]
    .reverse()
    .map((each) => {
      const name = `${each.decided_at} ${each.instrument_id}@${each.venue} ${each.orders.join()}`;
      const count = (seen.get(name) ?? 0) + 1;
      seen.set(name, count);
      return { ...each, key: `${name} ${count}` };
    })
    .reverse();
}
