/** One strategy: start, stop, flatten, switch, and its parameters, which change while it runs. */
import { useMemo, useState } from "react";
import { change, flatten, start, stop, type Strategy } from "../../api/strategies.ts";
import { gain, money, quantity, signed, tone } from "../../lib/format.ts";
import { useStore } from "../../store/create.ts";
import { may, session } from "../../store/session.ts";
import { Dialog } from "../../ui/Dialog.tsx";
import { Empty, Panel } from "../../ui/Panel.tsx";
import { useStrategies } from "./chosen.ts";
import { useKinds } from "./kinds.ts";
import { ParamsForm } from "./ParamsForm.tsx";
import { changesOf, fieldsOf, problemOf, textOf } from "./schema.ts";
import { PhaseBadge, SILENT } from "./Strategies.tsx";
import { Switch } from "./Switch.tsx";

const REASON = "from the dashboard";

export function StrategyDetail(): React.ReactNode {
  const { chosen, all } = useStrategies();
  return (
    <Panel title={chosen ? chosen.id : "Strategy"} tools={chosen && <PhaseBadge {...chosen} />}>
      {chosen?.silent && <p className="strategy-silent warn">{SILENT}</p>}
      {chosen?.of && <Detail key={chosen.id} of={chosen.of} />}
      {!chosen && <Empty>{all ? "Nothing chosen." : "Asking the strategies."}</Empty>}
    </Panel>
  );
}

function Detail({ of }: { of: Strategy }): React.ReactNode {
  const { all, problem } = useKinds(of.terms?.kind);
  const kind = all.find((each) => each.kind === of.terms?.kind);
  return (
    <div className="strategy-detail">
      {of.error !== "" && (
        <p className="down" role="alert">
          {of.error}
        </p>
      )}
      <Controls of={of} />
      {kind && (
        <p className="dim">
          {kind.title}: {of.terms?.instruments.join(", ")} {of.terms?.venue && `at ${of.terms.venue}`}
        </p>
      )}
      <Holdings of={of} />
      {problem !== "" && <p className="down">{problem}</p>}
      {kind && <Params of={of} schema={kind.params} doc={kind.params_doc} />}
    </div>
  );
}

function Controls({ of }: { of: Strategy }): React.ReactNode {
  const mayRun = may(useStore(session), "strategies");
  const [asks, setAsks] = useState<"" | "stop" | "flatten" | "switch">("");
  const [busy, setBusy] = useState(false);
  const runs = of.phase === "RUNNING" || of.phase === "STARTING";
  async function obey(what: Promise<unknown>): Promise<void> {
    setAsks("");
    setBusy(true);
    await what;
    setBusy(false);
  }
  return (
    <div className="strategy-controls">
      {runs ? (
        <button type="button" className="button" disabled={!mayRun || busy} onClick={() => setAsks("stop")}>
          Stop
        </button>
      ) : (
        <button
          type="button"
          className="button button-primary"
          disabled={!mayRun || busy || of.phase === "STOPPING"}
          onClick={() => void obey(start(of.id, REASON))}
        >
          Start
        </button>
      )}
      <button type="button" className="button" disabled={!mayRun || busy} onClick={() => setAsks("flatten")}>
        Flatten
      </button>
      <button type="button" className="button" disabled={!mayRun || busy} onClick={() => setAsks("switch")}>
        Switch
      </button>
      {asks === "stop" && (
        <Dialog title={`Stop ${of.id}`} onClose={() => setAsks("")}>
          <p>Its orders are canceled until none works.</p>
          <div className="dialog-buttons">
            <button type="button" className="button" onClick={() => setAsks("")}>
              Back
            </button>
            <button type="button" className="button button-danger" onClick={() => void obey(stop(of.id, true, REASON))}>
              Stop and flatten
            </button>
            <button type="button" className="button button-primary" onClick={() => void obey(stop(of.id, false, REASON))}>
              Stop
            </button>
          </div>
        </Dialog>
      )}
      {asks === "flatten" && (
        <Dialog title={`Flatten ${of.id}`} onClose={() => setAsks("")}>
          <p>
            Its orders are canceled and what it holds is closed at the market.
            {runs ? " It goes on afterwards." : ""}
          </p>
          <div className="dialog-buttons">
            <button type="button" className="button" onClick={() => setAsks("")}>
              Back
            </button>
            <button type="button" className="button button-danger" onClick={() => void obey(flatten(of.id, REASON))}>
              Flatten
            </button>
          </div>
        </Dialog>
      )}
      {asks === "switch" && <Switch of={of} onClose={() => setAsks("")} />}
    </div>
  );
}

function Holdings({ of }: { of: Strategy }): React.ReactNode {
  if (of.markets.length === 0) return null;
  return (
    <dl className="holdings">
      {of.markets.map((market) => (
        <div key={`${market.instrument_id}@${market.venue}`}>
          <dt>
            {market.instrument_id} <span className="dim">{market.venue}</span>
          </dt>
          <dd>
            <span className={tone(market.quantity)}>{quantity(market.quantity)}</span>
            <span className="dim"> at {money(market.avg_entry_price)}</span>
          </dd>
          <dd>
            <span className={gain(market.realized_pnl)}>{signed(market.realized_pnl)}</span>
            <span className="dim"> realized, </span>
            <span className={gain(market.unrealized_pnl)}>{signed(market.unrealized_pnl)}</span>
            <span className="dim"> open, fees {money(market.fees)}</span>
          </dd>
        </div>
      ))}
    </dl>
  );
}

function Params({ of, schema, doc }: { of: Strategy; schema: unknown; doc: string }): React.ReactNode {
  const fields = useMemo(() => fieldsOf(schema, doc), [schema, doc]);
  const mayRun = may(useStore(session), "strategies");
  const [typed, setTyped] = useState<Readonly<Record<string, string>>>({});
  const [busy, setBusy] = useState(false);
  if (fields.length === 0) return <Empty>It has no parameters.</Empty>;
  // What nobody has typed over follows what is in force, also when somebody else changes it.
  const inForce = Object.fromEntries(fields.map((field) => [field.name, textOf(of.params[field.name] ?? field.standard)]));
  const shown = { ...inForce, ...typed };
  const changes = changesOf(fields, of.params, typed);
  const wrong = fields.some((field) => problemOf(field, shown[field.name] ?? "") !== "");
  const count = Object.keys(changes).length;
  async function submit(): Promise<void> {
    setBusy(true);
    if ((await change(of.id, changes, REASON)) !== null) setTyped({});
    setBusy(false);
  }
  return (
    <form
      aria-label={`Parameters of ${of.id}`}
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <ParamsForm
        fields={fields}
        typed={shown}
        disabled={!mayRun || busy}
        onType={(name, text) => setTyped((now) => ({ ...now, [name]: text }))}
      />
      <div className="dialog-buttons">
        <button type="button" className="button" disabled={Object.keys(typed).length === 0} onClick={() => setTyped({})}>
          Undo
        </button>
        <button type="submit" className="button button-primary" disabled={!mayRun || busy || wrong || count === 0}>
          {count === 0 ? "Apply" : `Apply ${count} ${count === 1 ? "change" : "changes"}`}
        </button>
      </div>
    </form>
  );
}
