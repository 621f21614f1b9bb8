/** How long each hop takes, the slowest first. */
import type { Hop as Quantiles, Service } from "../../api/types.ts";
import { compact, micros } from "../../lib/format.ts";
import { useTopic } from "../../stream/use.ts";
import { Panel } from "../../ui/Panel.tsx";
import { Table, type Column } from "../../ui/Table.tsx";

interface Row {
  readonly at: string;
  readonly hop: string;
  readonly of: Quantiles;
}

const columns: readonly Column<Row>[] = [
  { key: "hop", head: "Hop", cell: ({ hop }) => hop.replaceAll("_", " ").replace(">", " → ") },
  { key: "at", head: "Measured by", minor: true, cell: ({ at }) => at },
  { key: "p50", head: "p50", numeric: true, cell: ({ of }) => micros(of.p50) },
  { key: "p99", head: "p99", numeric: true, cell: ({ of }) => micros(of.p99) },
  { key: "count", head: "Count", numeric: true, minor: true, cell: ({ of }) => compact(of.count, 0) },
];

export function Latency(): React.ReactNode {
  const { data: status, problem } = useTopic("status");
  const rows = (status?.services ?? []).flatMap(rowsOf).sort((a, b) => b.of.p50 - a.of.p50);
  return (
    <Panel title="Latency" problem={problem}>
      <Table label="Latency" columns={columns} rows={rows} rowKey={({ at, hop }) => `${at} ${hop}`} empty={status ? "Nothing was measured yet." : "Asking the services."} />
    </Panel>
  );
}

function rowsOf(service: Service): readonly Row[] {
  return Object.entries(service.latency_us)
    .filter(([, of]) => of.count > 0)
    .map(([hop, of]) => ({ at: service.service, hop, of }));
}
