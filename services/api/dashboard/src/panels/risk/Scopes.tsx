/** Where every scope stands: state, exposure, losses; and the way to close everything. */
import { useState } from "react";
import type { RiskScope } from "../../api/types.ts";
import { money, signed, gain, words } from "../../lib/format.ts";
import { useStore } from "../../store/create.ts";
import { may, session } from "../../store/session.ts";
import { useTopic } from "../../stream/use.ts";
import { Panel } from "../../ui/Panel.tsx";
import { Table, type Column } from "../../ui/Table.tsx";
import { Flatten } from "./Flatten.tsx";
import { orderOf } from "./use.ts";

const columns: readonly Column<RiskScope>[] = [
  { key: "scope", head: "Scope", cell: (each) => each.scope },
  {
    key: "state",
    head: "State",
    cell: (each) => (
      <span className={`state-${each.state}`} title={each.reason || undefined}>
        {words(each.state)}
        {each.heartbeat_lost && <span className="down"> silent</span>}
      </span>
    ),
  },
  { key: "gross", head: "Gross exposure", numeric: true, cell: (each) => money(each.gross_exposure) },
  { key: "net", head: "Net exposure", numeric: true, minor: true, cell: (each) => money(each.net_exposure) },
  { key: "pnl", head: "Net P&L", numeric: true, cell: (each) => <span className={gain(each.net_pnl)}>{signed(each.net_pnl)}</span> },
  { key: "loss", head: "Daily loss", numeric: true, minor: true, cell: (each) => money(each.daily_loss) },
  { key: "drawdown", head: "Drawdown", numeric: true, minor: true, cell: (each) => money(each.drawdown) },
];

export function Scopes(): React.ReactNode {
  const { data: risk, problem } = useTopic("risk");
  const mayTrade = may(useStore(session), "trade");
  const [asks, setAsks] = useState(false);
  const rows = [...(risk?.scopes ?? [])].sort((a, b) => (orderOf(a.scope) < orderOf(b.scope) ? -1 : 1));
  return (
    <Panel
      title="Risk"
      problem={problem}
      tools={
        <>
          {risk && (
            <span className="dim">
              {risk.working_orders} working, {risk.denials} refused, {risk.currency}
            </span>
          )}
          <button type="button" className="button button-small button-danger" disabled={!mayTrade} onClick={() => setAsks(true)}>
            Flatten all
          </button>
        </>
      }
    >
      <Table label="Risk" columns={columns} rows={rows} rowKey={(each) => each.scope} empty={risk ? "Nothing traded yet." : "Asking risk."} />
      {asks && <Flatten onClose={() => setAsks(false)} />}
    </Panel>
  );
}
