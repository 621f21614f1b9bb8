/** What the services logged, the newest first. */
import { useState } from "react";
import { get } from "../../api/http.ts";
import { clockMs, moment } from "../../lib/time.ts";
import { NONE } from "../../lib/format.ts";
import { useStore } from "../../store/create.ts";
import { preferences } from "../../store/preferences.ts";
import { useTopic } from "../../stream/use.ts";
import { Choice } from "../../ui/Choice.tsx";
import { Panel } from "../../ui/Panel.tsx";
import { Table, type Column } from "../../ui/Table.tsx";
import { usePoll } from "../poll.ts";

const AGAIN_MS = 1_000;
const SHOWN = 300;
const LEVELS = [
  ["INFO", "Info"],
  ["WARNING", "Warning"],
  ["ERROR", "Error"],
] as const;

type Level = (typeof LEVELS)[number][0];

interface Line {
  readonly at: string | null;
  readonly service: string;
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly exception: string;
}

export function Logs(): React.ReactNode {
  const { zone } = useStore(preferences);
  const services = useTopic("status").data?.services ?? [];
  const [level, setLevel] = useState<Level>("INFO");
  const [service, setService] = useState("");
  const [text, setText] = useState("");
  const { data, problem } = usePoll(`logs ${level} ${service}`, AGAIN_MS, async (signal) =>
    (await get<{ logs: Line[] }>("/logs", { level, service, limit: SHOWN }, signal)).logs,
  );
  const wanted = text.trim().toLowerCase();
  const rows = (data ?? []).filter((line) => wanted === "" || wordsOf(line).toLowerCase().includes(wanted));
  const columns: readonly Column<Line>[] = [
    { key: "time", head: "Time", cell: ({ at }) => (at ? <time title={moment(at, zone)}>{clockMs(at, zone)}</time> : NONE) },
    { key: "service", head: "Service", cell: (line) => line.service },
    { key: "level", head: "Level", minor: true, cell: (line) => <span className={`level-${line.level.toUpperCase()}`}>{line.level.toLowerCase()}</span> },
    {
      key: "message",
      head: "Message",
      cell: (line) => (
        <span title={line.exception || undefined}>
          {line.message}
          {Object.entries(line.fields).map(([name, value]) => (
            <span key={name}>
              {" "}
              <span className="dim">{name}=</span>
              {value}
            </span>
          ))}
        </span>
      ),
    },
  ];
  return (
    <Panel
      title="Logs"
      problem={problem}
      tools={
        <>
          <input className="select-small" type="search" placeholder="Filter" aria-label="Filter" value={text} onChange={(event) => setText(event.target.value)} />
          <select className="select-small" aria-label="Service" value={service} onChange={(event) => setService(event.target.value)}>
            <option value="">all</option>
            {[...new Set(services.map((each) => each.service))].sort().map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
          <Choice label="Level" value={level} options={LEVELS} onChange={setLevel} />
        </>
      }
    >
      <Table
        label="Logs"
        columns={columns}
        rows={rows}
        rowKey={(line) => `${line.at} ${line.service} ${line.message}`}
        empty={data ? "Nothing was logged that matches." : "Asking for the logs."}
      />
    </Panel>
  );
}

const wordsOf = (line: Line): string => [line.service, line.message, ...Object.entries(line.fields).flat(), line.exception].join(" ");
