/** Closing everything, in two steps: what it would do, and the doing. */
import { useEffect, useState } from "react";
import { explain } from "../../api/http.ts";
import { confirmFlatten, planFlatten, type FlattenPlan } from "../../api/risk.ts";
import { money, words } from "../../lib/format.ts";
import { Dialog } from "../../ui/Dialog.tsx";

export function Flatten({ onClose }: { onClose: () => void }): React.ReactNode {
  const [plan, setPlan] = useState<FlattenPlan | null>(null);
  const [problem, setProblem] = useState("");
  const [late, setLate] = useState(false);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    let stays = true;
    planFlatten("flatten all, from the dashboard").then(
      (answer) => stays && setPlan(answer),
      (error: unknown) => stays && setProblem(explain(error).join(". ")),
    );
    return () => {
      stays = false;
    };
  }, []);
  useEffect(() => {
    if (plan?.expires_at == null) return undefined;
    const timer = setTimeout(() => setLate(true), Math.max(0, Date.parse(plan.expires_at) - Date.now()));
    return () => clearTimeout(timer);
  }, [plan]);

  async function confirm(chosen: FlattenPlan): Promise<void> {
    setBusy(true);
    await confirmFlatten(chosen);
    onClose();
  }

  return (
    <Dialog title="Flatten all" onClose={onClose}>
      {problem !== "" && (
        <p className="down" role="alert">
          {problem}
        </p>
      )}
      {plan === null && problem === "" && <p className="dim">Asking what it would do.</p>}
      {plan && (
        <>
          <p>
            Trading halts, {plan.cancels.length} working {plan.cancels.length === 1 ? "order is" : "orders are"} canceled, and{" "}
            {plan.closes.length === 0
              ? "no position is open."
              : `positions worth ${money(plan.value)} ${plan.currency} are closed at the market:`}
          </p>
          <ul className="closes">
            {plan.closes.map((close) => (
              <li key={`${close.instrument_id}@${close.venue}`}>
                <span className={close.side === "BUY" ? "up" : "down"}>{words(close.side)}</span> {close.quantity}{" "}
                {close.instrument_id} <span className="dim">{close.venue}</span>
              </li>
            ))}
          </ul>
          <p className="dim">Trading stays halted until it is resumed.</p>
          {late && <p className="down">This was a minute ago. Close this and look again.</p>}
        </>
      )}
      <div className="dialog-buttons">
        <button type="button" className="button" onClick={onClose}>
          Back
        </button>
        <button type="button" className="button button-danger" disabled={plan === null || late || busy} onClick={() => plan && void confirm(plan)}>
          {busy ? "Closing" : "Close everything"}
        </button>
      </div>
    </Dialog>
  );
}
