/** Every service: version, whether it is ready, how busy and how late it is, and its errors. */
import { useEffect, useState } from "react";
import type { Service, Status } from "../../api/types.ts";
import { compact, micros, NONE } from "../../lib/format.ts";
import { age } from "../../lib/time.ts";
import { useTopic } from "../../stream/use.ts";
import { Panel } from "../../ui/Panel.tsx";
import { Table, type Column } from "../../ui/Table.tsx";
import { arrivalsOf, errorsOf, keyOf, ratesOf, refusedOf, type Rates } from "./rates.ts";

interface Row {
  readonly service: Service;
  /** How many of it run. */
  readonly replicas: number;
  readonly rates: Rates | null;
}

const columns: readonly Column<Row>[] = [
  {
    key: "service",
    head: "Service",
    cell: ({ service, replicas }) => (
      <>
        {service.service}
        {replicas > 1 && <span className="dim"> 1 of {replicas}</span>}
      </>
    ),
  },
  {
    key: "state",
    head: "State",
    cell: ({ service }) =>
      service.ready ? <span className="up">ready</span> : <span className="warn" title={service.waiting_for}>waits for {service.waiting_for}</span>,
  },
  { key: "version", head: "Version", minor: true, cell: ({ service }) => service.version },
  { key: "instance", head: "Instance", minor: true, cell: ({ service }) => service.instance },
  { key: "uptime", head: "Up", numeric: true, cell: ({ service }) => age(service.uptime_s * 1000) },
  { key: "in", head: "In/s", numeric: true, cell: ({ rates }) => (rates ? compact(rates.handled, 0) : NONE) },
  { key: "out", head: "Out/s", numeric: true, minor: true, cell: ({ rates }) => (rates ? compact(rates.published, 0) : NONE) },
  { key: "late", head: "Loop late", numeric: true, minor: true, cell: ({ service }) => ms(service.gauges["loop_lag_seconds"]) },
  {
    key: "messages",
    head: "Messages late, p99",
    numeric: true,
    minor: true,
    cell: ({ service }) => {
      const [slowest, ...others] = arrivalsOf(service);
      if (!slowest) return NONE;
      const ways = [slowest, ...others].map(([from, p99]) => `from ${from} ${micros(p99)}`);
      return <span title={`since it started: ${ways.join(", ")}`}>{micros(slowest[1])}</span>;
    },
  },
  { key: "behind", head: "Behind", numeric: true, minor: true, cell: ({ service }) => behind(service.gauges["orders_behind_messages"]) },
  { key: "cpu", head: "CPU", numeric: true, minor: true, cell: ({ service }) => percent(service.gauges["cpu_fraction"]) },
  { key: "memory", head: "Memory", numeric: true, minor: true, cell: ({ service }) => megabytes(service.gauges["rss_bytes"]) },
  {
    key: "errors",
    head: "Errors",
    numeric: true,
    cell: ({ service }) => {
      const count = errorsOf(service);
      const kinds = Object.entries(service.errors).map(([kind, times]) => `${kind} ${times}`);
      return count === 0 ? "0" : <span className="down" title={kinds.join(", ")}>{count}</span>;
    },
  },
  {
    key: "refused",
    head: "Refused",
    numeric: true,
    minor: true,
    cell: ({ service }) => {
      const kinds = Object.entries(refusedOf(service));
      const count = kinds.reduce((total, [, times]) => total + times, 0);
      return count === 0 ? NONE : <span className="dim" title={kinds.map(([kind, times]) => `${kind} ${times}`).join(", ")}>{compact(count, 0)}</span>;
    },
  },
];

export function Services(): React.ReactNode {
  const { data: status, problem } = useTopic("status");
  const rates = useRates(status);
  const services = status?.services ?? [];
  const rows = [...services]
    .sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
    .map((service) => ({
      service,
      replicas: services.filter((each) => each.service === service.service).length,
      rates: rates.get(keyOf(service)) ?? null,
    }));
  const dead = status?.dead_letters ?? 0;
  return (
    <Panel
      title="Services"
      problem={problem}
      tools={dead > 0 && <span className="down">{dead} dead {dead === 1 ? "letter" : "letters"}</span>}
    >
      <Table label="Services" columns={columns} rows={rows} rowKey={({ service }) => keyOf(service)} empty={status ? "No service answers." : "Asking the services."} />
    </Panel>
  );
}

/** Rates between the last two answers. */
function useRates(status: Status | undefined): ReadonlyMap<string, Rates> {
  const [held, setHeld] = useState<{ before: Status | undefined; rates: ReadonlyMap<string, Rates> }>({ before: undefined, rates: new Map() });
  useEffect(() => {
    if (!status) return;
    setHeld(({ before, rates }) => {
      if (before === status) return { before, rates };
      const earlier = new Map((before?.services ?? []).map((each) => [keyOf(each), each]));
      const found = status.services.map((each): [string, Rates | null] => [keyOf(each), ratesOf(earlier.get(keyOf(each)), each) ?? rates.get(keyOf(each)) ?? null]);
      return { before: status, rates: new Map(found.filter((pair): pair is [string, Rates] => pair[1] !== null)) };
    });
  }, [status]);
  return held.rates;
}

/** A loop that woke early is not late. */
const ms = (seconds: number | undefined): string => (seconds === undefined ? NONE : `${Math.max(0, seconds * 1000).toFixed(1)} ms`);
/** Messages of the stream of orders that it still has to handle. */
const behind = (messages: number | undefined): string => (messages === undefined ? NONE : compact(messages, 0));
const percent = (part: number | undefined): string => (part === undefined ? NONE : `${(part * 100).toFixed(0)}%`);
const megabytes = (bytes: number | undefined): string => (bytes === undefined ? NONE : `${(bytes / 1e6).toFixed(0)} MB`);
