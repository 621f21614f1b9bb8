/** What is wrong now and what was, and the channels that people are told through. */
import { attempt } from "../../api/actions.ts";
import type { Alert, Alerts as Answer, Channel } from "../../api/alerts.ts";
import { get, post } from "../../api/http.ts";
import { NONE } from "../../lib/format.ts";
import { moment } from "../../lib/time.ts";
import { useStore } from "../../store/create.ts";
import { preferences } from "../../store/preferences.ts";
import { may, session } from "../../store/session.ts";
import { Panel } from "../../ui/Panel.tsx";
import { Table, type Column } from "../../ui/Table.tsx";
import { usePoll } from "../poll.ts";

const AGAIN_MS = 3_000;

export function Alerts(): React.ReactNode {
  const { zone } = useStore(preferences);
  const { data, problem } = usePoll("alerts", AGAIN_MS, (signal) => get<Answer>("/alerts", { limit: 100 }, signal));
  const columns: readonly Column<Alert>[] = [
    { key: "at", head: "Since", cell: ({ raised_at: at }) => (at ? moment(at, zone) : NONE) },
    {
      key: "state",
      head: "State",
      cell: (alert) =>
        alert.cleared_at ? (
          <span className="dim">over</span>
        ) : (
          <span className={alert.severity === "CRITICAL" ? "down" : "warn"}>{alert.severity.toLowerCase()}</span>
        ),
    },
    {
      key: "title",
      head: "What",
      cell: (alert) => (
        <span title={[alert.detail, alert.remedy].filter((text) => text !== "").join("\n")}>
          {alert.title}
          {alert.count > 1 && <span className="dim"> ×{alert.count}</span>}
        </span>
      ),
    },
    { key: "remedy", head: "Remedy", minor: true, cell: (alert) => <span className="dim">{alert.remedy || NONE}</span> },
  ];
  return (
    <Panel title="Alerts" problem={problem} tools={data && <Channels of={data.channels} />}>
      <Table
        label="Alerts"
        columns={columns}
        rows={data ? [...data.active, ...data.recent] : []}
        rowKey={(alert) => alert.id}
        empty={data ? "Nothing was wrong." : "Asking for the alerts."}
      />
    </Panel>
  );
}

function Channels({ of }: { of: readonly Channel[] }): React.ReactNode {
  const mayTest = may(useStore(session), "trade");
  if (of.length === 0) return <span className="dim">No channel: alerts are shown here and in the log alone</span>;
  return of.map((channel) => (
    <button
      key={channel.name}
      type="button"
      className="button button-small"
      disabled={!mayTest}
      title={channel.problem || `sends a test message through ${channel.scheme}`}
      onClick={() =>
        void attempt(
          () => post(`/alerts/channels/${encodeURIComponent(channel.name)}/test`, undefined, { timeoutMs: 70_000 }),
          () => `${channel.name} took a test message`,
        )
      }
    >
      <span className={channel.failures > 0 ? "down" : ""}>Test {channel.name}</span>
    </button>
  ));
}
