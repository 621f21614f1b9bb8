/** Every fill there ever was, by year, month and day, with filters and as a file. */
import { useMemo, useState } from "react";
import { address, explain, get } from "../../api/http.ts";
import type { Fill } from "../../api/types.ts";
import { placesOf, write, round } from "../../lib/decimal.ts";
import { group as grouping, money, NONE, quantity, words } from "../../lib/format.ts";
import { clockMs } from "../../lib/time.ts";
import { useStore } from "../../store/create.ts";
import { marketName, useInstruments } from "../../store/market.ts";
import { preferences } from "../../store/preferences.ts";
import { useTopic } from "../../stream/use.ts";
import { Empty, Panel } from "../../ui/Panel.tsx";
import { usePoll } from "../poll.ts";
import { grouped, type Group } from "./groups.ts";

const PAGE = 500;
const AGAIN_MS = 5_000;

interface Filter {
  readonly symbol: string;
  readonly venue: string;
  readonly strategy: string;
  readonly since: string;
  readonly until: string;
}

interface Page {
  readonly fills: readonly Fill[];
  readonly next_cursor: string | null;
}

const HEADS = [
  ["Time", ""],
  ["Market", ""],
  ["Venue", "minor"],
  ["Side", ""],
  ["Quantity", "num"],
  ["Price", "num"],
  ["Fee", "num minor"],
  ["Liquidity", "minor"],
  ["Strategy", "minor"],
] as const;
const EVERYTHING: Filter = { symbol: "", venue: "", strategy: "", since: "", until: "" };

export function Timeline(): React.ReactNode {
  const { zone } = useStore(preferences);
  const [filter, setFilter] = useState(EVERYTHING);
  const query = useMemo(() => queryOf(filter, zone === "utc"), [filter, zone]);
  const key = JSON.stringify(query);
  const newest = usePoll(key, AGAIN_MS, (signal) => get<Page>("/fills", { ...query, limit: PAGE }, signal));
  const [older, setOlder] = useState<{ key: string; fills: readonly Fill[]; cursor: string | null }>({ key: "", fills: [], cursor: null });
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const mine = older.key === key;
  const cursor = mine ? older.cursor : (newest.data?.next_cursor ?? null);
  const fills = useMemo(() => unique([...(newest.data?.fills ?? []), ...(mine ? older.fills : [])]), [newest.data, older, mine]);

  async function more(): Promise<void> {
    if (cursor === null) return;
    setBusy(true);
    try {
      const page = await get<Page>("/fills", { ...query, limit: PAGE, cursor });
      // The first page moves on as fills come; what it no longer holds stays shown.
      const before = mine ? older.fills : (newest.data?.fills ?? []);
      setOlder({ key, fills: [...before, ...page.fills], cursor: page.next_cursor });
      setProblem("");
    } catch (error) {
      setProblem(explain(error)[0]);
    }
    setBusy(false);
  }

  return (
    <Panel
      title="Fills"
      problem={newest.problem || problem}
      tools={
        <>
          <span className="dim">as</span>
          {(["csv", "json", "parquet"] as const).map((format) => (
            <a key={format} href={address("/fills", { ...query, format })} download={`fills.${format}`}>
              {format.toUpperCase()}
            </a>
          ))}
        </>
      }
    >
      <Filters filter={filter} onChange={setFilter} />
      {fills.length === 0 && <Empty>{newest.data ? "No fill matches." : "Asking the ledger."}</Empty>}
      <div className="timeline">
        {grouped(fills, zone).map((each, index) => (
          <Branch key={each.name} of={each} open={index === 0} />
        ))}
      </div>
      {cursor !== null && (
        <p className="timeline-more">
          <button type="button" className="button" disabled={busy} onClick={() => void more()}>
            {busy ? "Asking" : "Older"}
          </button>
        </p>
      )}
    </Panel>
  );
}

function Filters({ filter, onChange }: { filter: Filter; onChange: (filter: Filter) => void }): React.ReactNode {
  const instruments = useTopic("instruments").data ?? [];
  const strategies = useTopic("strategies").data ?? [];
  const set = (name: keyof Filter) => (event: { target: { value: string } }) => onChange({ ...filter, [name]: event.target.value });
  const choice = (name: keyof Filter, label: string, options: readonly string[]): React.ReactNode => (
    <select className="select-small" aria-label={label} value={filter[name]} onChange={set(name)}>
      <option value="">{label}</option>
      {[...new Set(options)].sort().map((option) => (
        <option key={option}>{option}</option>
      ))}
    </select>
  );
  return (
    <div className="timeline-filters">
      {choice("symbol", "Market", instruments.map((each) => each.instrument_id))}
      {choice("venue", "Venue", instruments.map((each) => each.venue))}
      {choice("strategy", "Strategy", ["manual", ...strategies.map((each) => each.id)])}
      <input className="select-small" type="date" aria-label="From" value={filter.since} onChange={set("since")} />
      <input className="select-small" type="date" aria-label="To, that day included" value={filter.until} onChange={set("until")} />
      <button type="button" className="button button-small" disabled={filter === EVERYTHING} onClick={() => onChange(EVERYTHING)}>
        All
      </button>
    </div>
  );
}

function Branch({ of, open }: { of: Group; open: boolean }): React.ReactNode {
  const { zone } = useStore(preferences);
  const instruments = useInstruments();
  return (
    <details className={`branch branch-${of.depth}`} open={open}>
      <summary>
        <span>{of.name}</span>
        <span className="dim">
          {of.count} {of.count === 1 ? "fill" : "fills"}
        </span>
        <span className="num">
          <span className="up">{amount(of.bought)}</span> <span className="dim">bought</span>
        </span>
        <span className="num">
          <span className="down">{amount(of.sold)}</span> <span className="dim">sold</span>
        </span>
        <span className="num dim">{amount(of.fees)} fees</span>
      </summary>
      {of.groups.map((each, index) => (
        <Branch key={each.name} of={each} open={open && index === 0} />
      ))}
      {of.fills.length > 0 && (
        <div className="table-scroll" tabIndex={0} role="region" aria-label={`Fills of ${of.name}`}>
          <table className="table">
            <thead>
              <tr>
                {HEADS.map(([head, className]) => (
                  <th key={head} scope="col" className={className}>
                    {head}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {of.fills.map((fill) => {
                const instrument = instruments.get(marketName(fill));
                return (
                  <tr key={keyOf(fill)}>
                    <td>{fill.at ? clockMs(fill.at, zone) : NONE}</td>
                    <td>{fill.instrument_id}</td>
                    <td className="minor">{fill.venue}</td>
                    <td className={fill.side === "BUY" ? "up" : "down"}>{words(fill.side)}</td>
                    <td className="num">{quantity(fill.quantity, placesOf(instrument?.lot_size ?? "0.001"))}</td>
                    <td className="num">{money(fill.price, placesOf(instrument?.tick_size ?? "0.01"))}</td>
                    <td className="num minor">
                      {fill.fee} {fill.fee_asset}
                    </td>
                    <td className="minor">{fill.liquidity.toLowerCase()}</td>
                    <td className="minor">{fill.strategy}</td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}

const keyOf = (fill: Fill): string => `${fill.venue}/${fill.instrument_id}/${fill.id}`;

const amount = (value: Group["fees"]): string => grouping(write(round(value, 2)));

function unique(fills: readonly Fill[]): readonly Fill[] {
  return [...new Map(fills.map((fill) => [keyOf(fill), fill])).values()];
}

/** The query of a filter: days are whole days of the user's time zone. */
function queryOf(filter: Filter, utc: boolean): Readonly<Record<string, string>> {
  const begin = (date: string, days: number): string => {
    const [year = 0, month = 1, dayOfMonth = 1] = date.split("-").map(Number);
    const moment = utc ? new Date(Date.UTC(year, month - 1, dayOfMonth + days)) : new Date(year, month - 1, dayOfMonth + days);
    return moment.toISOString();
  };
  return {
    ...(filter.symbol === "" ? {} : { symbol: filter.symbol }),
    ...(filter.venue === "" ? {} : { venue: filter.venue }),
    ...(filter.strategy === "" ? {} : { strategy: filter.strategy }),
    ...(filter.since === "" ? {} : { since: begin(filter.since, 0) }),
    ...(filter.until === "" ? {} : { until: begin(filter.until, 1) }),
  };
}
