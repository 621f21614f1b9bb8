/** Every limit, how much of it is used, and the form that changes one. */
import { useState, type FormEvent } from "react";
import { limits as askLimits, setLimit, usage as askUsage, type Limit, type Usage } from "../../api/risk.ts";
import { parse } from "../../lib/decimal.ts";
import { group, money, NONE } from "../../lib/format.ts";
import { moment } from "../../lib/time.ts";
import { useStore } from "../../store/create.ts";
import { preferences } from "../../store/preferences.ts";
import { may, session } from "../../store/session.ts";
import { Dialog } from "../../ui/Dialog.tsx";
import { Panel } from "../../ui/Panel.tsx";
import { Table, type Column } from "../../ui/Table.tsx";
import { usePoll } from "../poll.ts";
import { levelOf, orderOf, partOf } from "./use.ts";

const AGAIN_MS = 1_000;

interface Row {
  readonly limit: Limit;
  readonly usage: Usage | undefined;
}

export function Limits(): React.ReactNode {
  const { data, problem, again } = usePoll("limits", AGAIN_MS, rows);
  const { zone } = useStore(preferences);
  const mayChange = may(useStore(session), "risk");
  const [changing, setChanging] = useState<Row | null>(null);
  const columns: readonly Column<Row>[] = [
    { key: "scope", head: "Scope", cell: ({ limit }) => limit.scope },
    { key: "name", head: "Limit", cell: ({ limit }) => limit.name },
    { key: "value", head: "Value", numeric: true, cell: ({ limit }) => (limit.value === null ? NONE : group(limit.value)) },
    { key: "used", head: "Used", numeric: true, minor: true, cell: ({ limit, usage }) => (limit.value === null ? NONE : usedOf(usage)) },
    { key: "bar", head: <span className="hidden">Part used</span>, cell: ({ usage }) => <Bar usage={usage} /> },
    { key: "where", head: "By", minor: true, cell: ({ usage }) => usage?.where || NONE },
    {
      key: "changed",
      head: "Changed",
      minor: true,
      cell: ({ limit }) =>
        limit.changed_at ? (
          <span title={limit.reason}>
            {limit.actor}, {moment(limit.changed_at, zone)}
          </span>
        ) : (
          NONE
        ),
    },
    {
      key: "actions",
      head: <span className="hidden">Actions</span>,
      cell: (row) => (
        <span className="row-actions">
          <button
            type="button"
            className="button button-small"
            disabled={!mayChange}
            aria-label={`Edit ${row.limit.name} of ${row.limit.scope}`}
            onClick={() => setChanging(row)}
          >
            Edit
          </button>
        </span>
      ),
    },
  ];
  return (
    <Panel title="Limits" problem={problem}>
      <Table
        label="Limits"
        columns={columns}
        rows={data ?? []}
        rowKey={({ limit }) => `${limit.scope}/${limit.name}`}
        empty={data ? "No limit is set." : "Asking risk."}
      />
      {changing && (
        <Change
          row={changing}
          onClose={(changed) => {
            setChanging(null);
            if (changed) again();
          }}
        />
      )}
    </Panel>
  );
}

async function rows(signal: AbortSignal): Promise<readonly Row[]> {
  const [limits, usages] = await Promise.all([askLimits(signal), askUsage(signal)]);
  const used = new Map(usages.map((each) => [`${each.scope}/${each.name}`, each]));
  return limits
    .map((limit) => ({ limit, usage: used.get(`${limit.scope}/${limit.name}`) }))
    .sort((a, b) => (orderOf(a.limit.scope) < orderOf(b.limit.scope) ? -1 : orderOf(a.limit.scope) > orderOf(b.limit.scope) ? 1 : 0));
}

function usedOf(usage: Usage | undefined): string {
  if (usage === undefined || usage.used === null) return "per order";
  // A currency: an amount in it. Everything else counts.
  return /^[A-Z]+$/.test(usage.unit) ? `${money(usage.used)} ${usage.unit}` : `${group(usage.used)} ${usage.unit}`;
}

function Bar({ usage }: { usage: Usage | undefined }): React.ReactNode {
  const part = partOf(usage?.used_part ?? null);
  if (part === null) return null;
  const percent = Math.round(part * 100);
  return (
    <span className={`use use-${levelOf(part)}`}>
      <meter min={0} max={100} value={Math.min(100, percent)} aria-label={`${usage?.name} used`} />
      {percent}%
    </span>
  );
}

function Change({ row, onClose }: { row: Row; onClose: (changed: boolean) => void }): React.ReactNode {
  const { limit, usage } = row;
  const [busy, setBusy] = useState(false);
  const [value, setValue] = useState(limit.value ?? "");
  const wrong = parse(value) === null;
  async function send(wanted: string | null, form: HTMLFormElement | null): Promise<void> {
    const reason = String((form && new FormData(form).get("reason")) ?? "").trim();
    setBusy(true);
    const answer = await setLimit(limit, wanted, reason || "from the dashboard");
    setBusy(false);
    if (answer !== null) onClose(true);
  }
  return (
    <Dialog title={`${limit.name} of ${limit.scope}`} onClose={() => onClose(false)}>
      <form
        onSubmit={(event: FormEvent<HTMLFormElement>) => {
          event.preventDefault();
          void send(value.trim(), event.currentTarget);
        }}
      >
        <label className={`field ${wrong ? "field-wrong" : ""}`}>
          Value{usage ? `, ${usage.unit}` : ""}; configured {limit.configured === null ? "nowhere" : group(limit.configured)}
          <input name="value" inputMode="decimal" autoComplete="off" value={value} onChange={(event) => setValue(event.target.value)} autoFocus />
          <span className="field-problem">{wrong ? "must be a number" : ""}</span>
        </label>
        <label className="field">
          Reason, for the audit log
          <input name="reason" maxLength={200} autoComplete="off" />
        </label>
        <div className="dialog-buttons">
          <button type="button" className="button" onClick={() => onClose(false)}>
            Back
          </button>
          <button
            type="button"
            className="button"
            disabled={busy || limit.value === limit.configured}
            onClick={(event) => void send(null, event.currentTarget.form)}
          >
            As configured
          </button>
          <button type="submit" className="button button-primary" disabled={busy || wrong || value.trim() === limit.value}>
            Change
          </button>
        </div>
      </form>
    </Dialog>
  );
}
