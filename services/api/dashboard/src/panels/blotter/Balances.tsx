/** What the accounts hold of each asset. */
import type { Balance } from "../../api/types.ts";
import { quantity } from "../../lib/format.ts";
import { Table, type Column } from "../../ui/Table.tsx";

const COLUMNS: readonly Column<Balance>[] = [
  { key: "asset", head: "Asset", cell: (balance) => balance.asset },
  { key: "venue", head: "Venue", cell: (balance) => balance.venue },
  { key: "free", head: "Free", numeric: true, cell: (balance) => quantity(balance.free, 2) },
  { key: "locked", head: "In orders", numeric: true, cell: (balance) => quantity(balance.locked, 2) },
  { key: "total", head: "Total", numeric: true, cell: (balance) => quantity(balance.total, 2) },
];

export function Balances({ balances }: { balances: readonly Balance[] }): React.ReactNode {
  return (
    <Table
      label="Balances"
      columns={COLUMNS}
      rows={balances}
      rowKey={(balance) => `${balance.venue}/${balance.asset}`}
      empty="No balances known yet."
    />
  );
}
