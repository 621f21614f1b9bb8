/** The session that is on, what it came to so far, and the way to begin a new one. */
import { useState } from "react";
import { attempt } from "../../api/actions.ts";
import { get, post } from "../../api/http.ts";
import { signed, gain, NONE, money } from "../../lib/format.ts";
import { moment, zoneName } from "../../lib/time.ts";
import { useStore } from "../../store/create.ts";
import { preferences } from "../../store/preferences.ts";
import { may, session } from "../../store/session.ts";
import { Dialog } from "../../ui/Dialog.tsx";
import { Panel } from "../../ui/Panel.tsx";
import { usePoll } from "../poll.ts";

const AGAIN_MS = 3_000;

/** What the session added. */
interface Change {
  readonly net_pnl: string | null;
  readonly realized_pnl: string | null;
  readonly unrealized_pnl: string | null;
  readonly fees: string | null;
}

interface Curve {
  readonly strategy?: string;
  readonly change: Change | null;
}

interface Series {
  readonly since: string | null;
  readonly session: { readonly since: string | null; readonly actor: string; readonly reason: string };
  readonly curves: readonly Curve[];
}

export function Session(): React.ReactNode {
  const { zone } = useStore(preferences);
  const mayClear = may(useStore(session), "trade");
  const [asks, setAsks] = useState(false);
  const { data, problem, again } = usePoll(`session ${zone}`, AGAIN_MS, (signal) =>
    get<Series>("/portfolio/series", { range: "session", by: "strategy", tz: zoneName(zone), points: 2 }, signal),
  );
  return (
    <Panel
      title="Session"
      problem={problem}
      tools={
        <button type="button" className="button button-small" disabled={!mayClear} onClick={() => setAsks(true)}>
          Clear session
        </button>
      }
    >
      <div className="session">
        <p>
          <span className="dim">Since</span> {data?.session.since ? moment(data.session.since, zone) : data ? "the beginning" : NONE}
          {data?.session.actor ? <span className="dim"> by {data.session.actor}: {data.session.reason}</span> : null}
        </p>
        <table className="table">
          <thead>
            <tr>
              <th scope="col">Strategy</th>
              <th scope="col" className="num">Net P&L</th>
              <th scope="col" className="num minor">Realized</th>
              <th scope="col" className="num minor">Fees</th>
              <th scope="col" className="num minor">Unrealized</th>
            </tr>
          </thead>
          <tbody>
            {(data?.curves ?? []).map((curve, index) => {
              const change = curve.change;
              return (
                <tr key={curve.strategy ?? index}>
                  <td>{curve.strategy ?? "account"}</td>
                  <td className={`num ${gain(change?.net_pnl)}`}>{signed(change?.net_pnl)}</td>
                  <td className={`num minor ${gain(change?.realized_pnl)}`}>{signed(change?.realized_pnl)}</td>
                  <td className="num minor">{money(change?.fees)}</td>
                  <td className={`num minor ${gain(change?.unrealized_pnl)}`}>{signed(change?.unrealized_pnl)}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      {asks && (
        <Dialog title="Clear session" onClose={() => setAsks(false)}>
          <p>A new session begins: its profit and loss count from now. Nothing is deleted, and nothing is traded.</p>
          <div className="dialog-buttons">
            <button type="button" className="button" onClick={() => setAsks(false)}>
              Back
            </button>
            <button
              type="button"
              className="button button-primary"
              onClick={() => {
                setAsks(false);
                void attempt(() => post("/portfolio/session/clear", { reason: "from the dashboard" }), () => "a new session began").then(again);
              }}
            >
              Begin a new session
            </button>
          </div>
        </Dialog>
      )}
    </Panel>
  );
}
