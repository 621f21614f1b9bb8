/** How well each market is heard. */
import { get } from "../../api/http.ts";
import { NONE, words } from "../../lib/format.ts";
import { clock } from "../../lib/time.ts";
import { useStore } from "../../store/create.ts";
import { preferences } from "../../store/preferences.ts";
import { Panel } from "../../ui/Panel.tsx";
import { Table, type Column } from "../../ui/Table.tsx";
import { usePoll } from "../poll.ts";

const AGAIN_MS = 2_000;

interface Feed {
  readonly venue: string;
  readonly instrument_id: string;
  readonly state: string;
  readonly reason: string;
  readonly since: string | null;
  readonly market_age_ms: number | null;
  readonly sequence: number | null;
}

export function Feeds(): React.ReactNode {
  const { zone } = useStore(preferences);
  const { data, problem } = usePoll("feeds", AGAIN_MS, async (signal) => (await get<{ feeds: Feed[] }>("/feeds", {}, signal)).feeds);
  const columns: readonly Column<Feed>[] = [
    { key: "market", head: "Market", cell: (feed) => `${feed.instrument_id}@${feed.venue}` },
    {
      key: "state",
      head: "State",
      cell: (feed) => (
        <span className={feed.state === "LIVE" ? "up" : "warn"} title={feed.reason || undefined}>
          {words(feed.state)}
        </span>
      ),
    },
    { key: "since", head: "Since", minor: true, cell: ({ since }) => (since ? clock(since, zone) : NONE) },
    { key: "age", head: "Last news", numeric: true, cell: (feed) => (feed.market_age_ms === null ? NONE : `${feed.market_age_ms} ms`) },
    { key: "sequence", head: "Book", numeric: true, minor: true, cell: (feed) => feed.sequence ?? NONE },
  ];
  return (
    <Panel title="Feeds" problem={problem}>
      <Table label="Feeds" columns={columns} rows={data ?? []} rowKey={(feed) => `${feed.instrument_id}@${feed.venue}`} empty={data ? "No market is heard." : "Asking the gateway."} />
    </Panel>
  );
}
