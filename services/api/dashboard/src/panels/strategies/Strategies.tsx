/** Every strategy: what it runs, where it is, what it made; and all of them started or stopped. */
import { useState } from "react";
import { all as startOrStopAll, type Strategy } from "../../api/strategies.ts";
import type { StrategyBooks } from "../../api/types.ts";
import { decimal, sign } from "../../lib/decimal.ts";
import { NONE, quantity, signed, gain, words } from "../../lib/format.ts";
import { useStore } from "../../store/create.ts";
import { may, session } from "../../store/session.ts";
import { useTopic } from "../../stream/use.ts";
import { Dialog } from "../../ui/Dialog.tsx";
import { Panel } from "../../ui/Panel.tsx";
import { Table, type Column } from "../../ui/Table.tsx";
import { choose, useStrategies, type Known } from "./chosen.ts";
import { Switch } from "./Switch.tsx";

/** What it means that a strategy is silent. */
export const SILENT =
  "No process answers for it: what is shown is what was last heard, and its orders may still work. What is asked of it is kept until a process is there. See the services in System.";

export function Strategies(): React.ReactNode {
  const { all, chosen, problem } = useStrategies();
  const books = useTopic("portfolio").data?.strategies ?? [];
  const mayRun = may(useStore(session), "strategies");
  const [asks, setAsks] = useState<"" | "start" | "stop" | "new">("");
  const booksOf = (each: Known): StrategyBooks | undefined => books.find((book) => book.strategy === each.id);
  const silent = (all ?? []).filter((each) => each.silent).length;
  const columns: readonly Column<Known>[] = [
    {
      key: "id",
      head: "Strategy",
      cell: (each) => (
        <button type="button" className="link" aria-pressed={each.id === chosen?.id} onClick={() => choose(each.id)}>
          {each.id}
        </button>
      ),
    },
    { key: "phase", head: "State", cell: (each) => <PhaseBadge {...each} /> },
    { key: "kind", head: "Kind", minor: true, cell: ({ of }) => of?.terms?.kind ?? NONE },
    { key: "markets", head: "Markets", minor: true, cell: ({ of }) => (of ? marketsOf(of) : NONE) },
    { key: "position", head: "Position", numeric: true, minor: true, cell: ({ of }) => (of ? positionOf(of) : NONE) },
    { key: "orders", head: "Orders", numeric: true, minor: true, cell: ({ of }) => (of ? workingOf(of) : NONE) },
    { key: "net", head: "Net P&L", numeric: true, cell: (each) => <Net value={booksOf(each)?.net_pnl} /> },
    { key: "drawdown", head: "Drawdown", numeric: true, minor: true, cell: (each) => drawdownOf(booksOf(each)) },
  ];
  const tools = (
    <>
      {silent > 0 && (
        <span className="warn" role="status" title={SILENT}>
          {silent} silent
        </span>
      )}
      <button type="button" className="button button-small" disabled={!mayRun} onClick={() => setAsks("new")}>
        New
      </button>
      <button type="button" className="button button-small" disabled={!mayRun} onClick={() => setAsks("start")}>
        Start all
      </button>
      <button type="button" className="button button-small" disabled={!mayRun} onClick={() => setAsks("stop")}>
        Stop all
      </button>
    </>
  );
  return (
    <Panel title="Strategies" tools={tools} problem={problem}>
      <Table
        label="Strategies"
        columns={columns}
        rows={all ?? []}
        rowKey={(each) => each.id}
        rowClass={(each) => (each.id === chosen?.id ? "row-chosen" : "")}
        onRow={(each) => choose(each.id)}
        empty={all ? "No strategy runs here. New makes one." : "Asking the strategies."}
      />
      {asks === "new" && <Switch onClose={() => setAsks("")} />}
      {(asks === "start" || asks === "stop") && (
        <AllDialog starts={asks === "start"} strategies={all ?? []} onClose={() => setAsks("")} />
      )}
    </Panel>
  );
}

interface AllProps {
  readonly starts: boolean;
  readonly strategies: readonly Known[];
  readonly onClose: () => void;
}

function AllDialog({ starts, strategies, onClose }: AllProps): React.ReactNode {
  const does = starts ? "Start" : "Stop";
  function tell(flatten: boolean): void {
    onClose();
    void startOrStopAll(starts, flatten, `${does.toLowerCase()} all, from the dashboard`);
  }
  return (
    <Dialog title={`${does} all strategies`} onClose={onClose}>
      <p>
        {starts
          ? "Each one goes on with the parameters that it has."
          : "Each one cancels its orders until none works. Positions stay as they are."}
      </p>
      <div className="dialog-buttons">
        <button type="button" className="button" onClick={onClose}>
          Back
        </button>
        {!starts && (
          <button type="button" className="button button-danger" onClick={() => tell(true)}>
            Stop and flatten {strategies.length}
          </button>
        )}
        <button type="button" className="button button-primary" onClick={() => tell(false)}>
          {does} {strategies.length}
        </button>
      </div>
    </Dialog>
  );
}

/** Where a strategy is, in a word, with what went wrong as its title. */
export function PhaseBadge({ of, silent }: Known): React.ReactNode {
  if (silent || !of) {
    return (
      <span className="phase warn" title={SILENT}>
        silent{of && `, was ${words(of.phase)}`}
      </span>
    );
  }
  return (
    <span className={`phase phase-${of.phase}`} title={of.error || undefined}>
      {words(of.phase)}
    </span>
  );
}

function Net({ value }: { value: string | undefined }): React.ReactNode {
  return <span className={gain(value)}>{signed(value)}</span>;
}

function drawdownOf(books: StrategyBooks | undefined): string {
  return books ? signed(books.drawdown).replace(/^\+/, "") : NONE;
}

function marketsOf(of: Strategy): string {
  const names = of.terms?.instruments ?? of.markets.map((market) => market.instrument_id);
  return names.length > 2 ? `${names.slice(0, 2).join(", ")} +${names.length - 2}` : names.join(", ") || NONE;
}

/** What it holds: the quantity of its only market, else of how many markets. */
function positionOf(of: Strategy): string {
  const held = of.markets.filter((market) => sign(decimal(market.quantity)) !== 0);
  if (held.length === 0) return "flat";
  return held.length === 1 ? quantity(held[0]?.quantity) : `${held.length} markets`;
}

function workingOf(of: Strategy): string {
  return String(of.markets.reduce((sum, market) => sum + market.working_orders, 0));
}
