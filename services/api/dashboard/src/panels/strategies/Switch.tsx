/** What an id is to run: another kind, other markets; or a new id. */
import { useMemo, useState, type FormEvent } from "react";
import { run, type Strategy } from "../../api/strategies.ts";
import { useTopic } from "../../stream/use.ts";
import { Dialog } from "../../ui/Dialog.tsx";
import { choose } from "./chosen.ts";
import { useKinds } from "./kinds.ts";
import { ParamsForm } from "./ParamsForm.tsx";
import { fieldsOf, problemOf, textOf, valueOf } from "./schema.ts";

const ID = "[A-Za-z0-9_\\-]{1,16}";

interface Props {
  /** The one that is switched; without it a new one is made. */
  readonly of?: Strategy;
  readonly onClose: () => void;
}

export function Switch({ of, onClose }: Props): React.ReactNode {
  const { all, problem } = useKinds(of?.terms?.kind);
  const instruments = useTopic("instruments").data ?? [];
  const [wanted, setWanted] = useState(of?.terms?.kind ?? "");
  const [typed, setTyped] = useState<Readonly<Record<string, string>>>({});
  const [busy, setBusy] = useState(false);
  const kind = all.find((each) => each.kind === wanted) ?? all[0];
  const fields = useMemo(() => fieldsOf(kind?.params, kind?.params_doc), [kind]);
  const same = kind !== undefined && kind.kind === of?.terms?.kind;
  const shown = Object.fromEntries(
    fields.map(({ name, standard }) => [name, typed[name] ?? textOf((same ? of?.params[name] : undefined) ?? standard)]),
  );
  const wrong = fields.some((field) => problemOf(field, shown[field.name] ?? "") !== "");
  const names = [...new Set(instruments.map((each) => each.instrument_id))].sort();
  const venues = [...new Set(instruments.map((each) => each.venue))].sort();

  async function submit(event: FormEvent<HTMLFormElement>): Promise<void> {
    event.preventDefault();
    if (!kind) return;
    const form = new FormData(event.currentTarget);
    const id = of?.id ?? String(form.get("id") ?? "");
    const chosenVenues = form.getAll("venue").map(String);
    const params = fields
      .filter(({ name, standard }) => (shown[name] ?? "") !== standard)
      .map((field): [string, unknown] => [field.name, valueOf(field, shown[field.name] ?? "")]);
    setBusy(true);
    const changed = await run(
      id,
      {
        kind: kind.kind,
        instruments: form.getAll("instrument").map(String),
        params: Object.fromEntries(params.filter(([, value]) => value !== null)),
        is_running: form.get("is_running") === "on",
        venue: kind.spanning ? "" : (chosenVenues[0] ?? ""),
        venues: kind.spanning ? chosenVenues : [],
      },
      String(form.get("reason") ?? "").trim() || "from the dashboard",
    );
    setBusy(false);
    if (changed === null) return;
    choose(id);
    onClose();
  }

  return (
    <Dialog title={of ? `Switch ${of.id}` : "New strategy"} onClose={onClose}>
      {problem !== "" && <p className="down">{problem}</p>}
      <form onSubmit={(event) => void submit(event)}>
        {!of && (
          <label className="field">
            Id, at most 16 letters, digits, _ and -
            <input name="id" required pattern={ID} maxLength={16} autoComplete="off" autoFocus />
          </label>
        )}
        <label className="field">
          Kind
          <select value={kind?.kind ?? ""} onChange={(event) => setWanted(event.target.value)}>
            {all.map((each) => (
              <option key={each.kind} value={each.kind} disabled={each.problem !== ""}>
                {each.kind}: {each.title}
              </option>
            ))}
          </select>
        </label>
        {kind && kind.problem !== "" && <p className="down">{kind.problem}</p>}
        <div className="fields">
          <Several name="instrument" label="Markets" all={names} chosen={of?.terms?.instruments ?? []} />
          <Several
            name="venue"
            label={kind?.spanning ? "Venues" : "Venue, empty for the main one"}
            all={venues}
            chosen={kind?.spanning ? (of?.terms?.venues ?? []) : of?.terms?.venue ? [of.terms.venue] : []}
            one={!kind?.spanning}
            key={String(kind?.spanning)}
          />
        </div>
        <ParamsForm
          fields={fields}
          typed={shown}
          disabled={busy}
          onType={(name, text) => setTyped((now) => ({ ...now, [name]: text }))}
        />
        <label className="field">
          Reason, for the audit log
          <input name="reason" maxLength={200} autoComplete="off" />
        </label>
        <label className="check">
          <input type="checkbox" name="is_running" defaultChecked={of?.terms?.is_running ?? true} />
          Runs at once
        </label>
        {of && <p className="dim">Its orders are canceled first. What it holds stays with it.</p>}
        <div className="dialog-buttons">
          <button type="button" className="button" onClick={onClose}>
            Back
          </button>
          <button type="submit" className="button button-primary" disabled={busy || wrong || !kind || kind.problem !== ""}>
            {of ? "Switch" : "Create"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

interface SeveralProps {
  readonly name: string;
  readonly label: string;
  readonly all: readonly string[];
  readonly chosen: readonly string[];
  readonly one?: boolean;
}

function Several({ name, label, all, chosen, one = false }: SeveralProps): React.ReactNode {
  const options = [...new Set([...all, ...chosen])];
  if (one) {
    return (
      <label className="field">
        {label}
        <select name={name} defaultValue={chosen[0] ?? ""}>
          <option value="">main venue</option>
          {options.map((option) => (
            <option key={option}>{option}</option>
          ))}
        </select>
      </label>
    );
  }
  return (
    <label className="field">
      {label}
      <select name={name} multiple required size={Math.min(4, Math.max(2, options.length))} defaultValue={[...chosen]} key={options.length}>
        {options.map((option) => (
          <option key={option}>{option}</option>
        ))}
      </select>
    </label>
  );
}
