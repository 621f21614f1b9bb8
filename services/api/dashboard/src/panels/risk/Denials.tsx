/** What risk refused, and the limit that it met. */
import { useState } from "react";
import { denials, type Denial } from "../../api/risk.ts";
import { group, NONE, words } from "../../lib/format.ts";
import { clock, day, moment } from "../../lib/time.ts";
import { useStore } from "../../store/create.ts";
import { preferences } from "../../store/preferences.ts";
import { useTopic } from "../../stream/use.ts";
import { Panel } from "../../ui/Panel.tsx";
import { Table, type Column } from "../../ui/Table.tsx";
import { usePoll } from "../poll.ts";

const AGAIN_MS = 2_000;
const SHOWN = 200;

export function Denials(): React.ReactNode {
  const { zone } = useStore(preferences);
  const strategies = useTopic("strategies").data ?? [];
  const [strategy, setStrategy] = useState("");
  const { data, problem } = usePoll(`denials ${strategy}`, AGAIN_MS, (signal) =>
    denials({ limit: SHOWN, ...(strategy === "" ? {} : { strategy }) }, signal),
  );
  const today = day(Date.now(), zone);
  const columns: readonly Column<Denial>[] = [
    {
      key: "time",
      head: "Time",
      cell: ({ at }) => (at ? <time title={moment(at, zone)}>{day(at, zone) === today ? clock(at, zone) : moment(at, zone)}</time> : NONE),
    },
    { key: "strategy", head: "Strategy", cell: (each) => each.strategy },
    { key: "market", head: "Market", minor: true, cell: (each) => (each.instrument_id ? `${each.instrument_id}@${each.venue}` : NONE) },
    { key: "reason", head: "Refused for", cell: (each) => <span title={each.detail}>{words(each.reason)}</span> },
    { key: "value", head: "Value", numeric: true, minor: true, cell: (each) => numberOf(each.value) },
    { key: "limit", head: "Limit", numeric: true, minor: true, cell: (each) => numberOf(each.limit) },
    { key: "scope", head: "Scope", minor: true, cell: (each) => each.scope || NONE },
    { key: "order", head: "Order", minor: true, cell: (each) => each.order_id },
  ];
  return (
    <Panel
      title="Refusals"
      problem={problem}
      tools={
        <select className="select-small" aria-label="Strategy" value={strategy} onChange={(event) => setStrategy(event.target.value)}>
          <option value="">all</option>
          {["manual", ...strategies.map((each) => each.id)].map((id) => (
            <option key={id}>{id}</option>
          ))}
        </select>
      }
    >
      <Table
        label="Refusals"
        columns={columns}
        rows={data?.denials ?? []}
        rowKey={(each) => String(each.sequence)}
        empty={data ? "Risk refused nothing." : "Asking the ledger."}
      />
    </Panel>
  );
}

function numberOf(text: string): string {
  return /^-?\d+(\.\d+)?$/.test(text) ? group(text) : text || NONE;
}
