/** The trading state, and the way to halt, to only reduce and to resume. */
import { useState } from "react";
import { setTrading } from "../api/actions.ts";
import type { TradingState } from "../api/types.ts";
import { NONE, words } from "../lib/format.ts";
import { Dialog } from "../ui/Dialog.tsx";

interface Props {
  readonly state: TradingState | undefined;
  readonly reason: string;
  readonly mayStop: boolean;
  readonly mayResume: boolean;
}

const CHOICES: readonly (readonly [TradingState, string, string])[] = [
  ["ACTIVE", "Resume", "Everything that risk allows may trade."],
  ["REDUCING", "Reduce only", "Only orders that make positions smaller pass."],
  ["HALTED", "Halt", "No new order passes. Cancels always do."],
];

export function Trading({ state, reason, mayStop, mayResume }: Props): React.ReactNode {
  const [asks, setAsks] = useState(false);
  const [why, setWhy] = useState("");
  const [busy, setBusy] = useState(false);

  async function choose(wanted: TradingState): Promise<void> {
    setBusy(true);
    const answer = await setTrading(wanted, why.trim() || "from the dashboard");
    setBusy(false);
    if (answer !== null) setAsks(false);
  }

  return (
    <>
      <button
        type="button"
        className={`trading trading-${state ?? "unknown"}`}
        title={reason ? `Trading: ${reason}` : "Trading state"}
        onClick={() => setAsks(true)}
        data-testid="trading-state"
      >
        {state ? words(state) : NONE}
      </button>
      {asks && (
        <Dialog title="Trading" onClose={() => setAsks(false)}>
          <p>
            Now <strong>{state ? words(state) : "unknown"}</strong>
            {reason ? `: ${reason}` : ""}
          </p>
          <label className="field">
            Reason, for the audit log
            <input value={why} maxLength={200} onChange={(event) => setWhy(event.target.value)} />
          </label>
          <div className="dialog-choices">
            {CHOICES.map(([wanted, text, says]) => (
              <button
                key={wanted}
                type="button"
                className={`button ${wanted === "HALTED" ? "button-danger" : ""}`}
                disabled={busy || wanted === state || !(wanted === "ACTIVE" ? mayResume : mayStop)}
                onClick={() => void choose(wanted)}
              >
                <strong>{text}</strong>
                <small>{says}</small>
              </button>
            ))}
          </div>
          <div className="dialog-buttons">
            <button type="button" className="button" onClick={() => setAsks(false)}>
              Close
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}
