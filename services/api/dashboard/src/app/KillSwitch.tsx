/** The kill switch: one click away everywhere, and asked once more before it fires. */
import { useState } from "react";
import { kill } from "../api/actions.ts";
import { Dialog } from "../ui/Dialog.tsx";

export function KillSwitch({ enabled }: { enabled: boolean }): React.ReactNode {
  const [asks, setAsks] = useState(false);
  const [flatten, setFlatten] = useState(false);
  const [busy, setBusy] = useState(false);

  async function fire(): Promise<void> {
    setBusy(true);
    await kill("kill switch of the dashboard", flatten);
    setBusy(false);
    setAsks(false);
  }

  return (
    <>
      <button
        type="button"
        className="button button-kill"
        disabled={!enabled}
        onClick={() => {
          setFlatten(false);
          setAsks(true);
        }}
      >
        Kill switch
      </button>
      {asks && (
        <Dialog title="Kill switch" onClose={() => setAsks(false)}>
          <p>
            Halts trading and cancels every working order of every account, directly at the venues, and
            checks that none is left.
          </p>
          <label className="check">
            <input type="checkbox" checked={flatten} onChange={(event) => setFlatten(event.target.checked)} />
            Close all positions at the market, too
          </label>
          <div className="dialog-buttons">
            <button type="button" className="button" onClick={() => setAsks(false)}>
              Back
            </button>
            <button type="button" className="button button-kill" disabled={busy} onClick={() => void fire()}>
              {busy ? "Killing" : flatten ? "Cancel all and flatten" : "Cancel all"}
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}
