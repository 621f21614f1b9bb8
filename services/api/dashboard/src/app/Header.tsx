/** Always in sight: what this is, whether it is well, how quick it is, and the kill switch. */
import { useEffect, useState } from "react";
import type { Price, Service, Status, TradingState } from "../api/types.ts";
import { micros, NONE } from "../lib/format.ts";
import { age } from "../lib/time.ts";
import { useStore } from "../store/create.ts";
import { useInstrument } from "../store/market.ts";
import { prefer, preferences } from "../store/preferences.ts";
import { may, session } from "../store/session.ts";
import { useLink, useTopic } from "../stream/use.ts";
import { KillSwitch } from "./KillSwitch.tsx";
import { Menu } from "./Menu.tsx";
import { views } from "./registry.ts";
import { titleOf, useTitle } from "./title.ts";
import { Trading } from "./Trading.tsx";

const MODES: Readonly<Record<string, string>> = {
  simulated: "Simulated",
  paper: "Paper",
  testnet: "Testnet",
  live: "Live",
  dry_run: "Dry run",
};

export function Header(): React.ReactNode {
  const platform = useTopic("platform").data;
  const status = useTopic("status").data;
  const prices = useTopic("prices").data;
  const risk = useTopic("risk").data;
  const { view } = useStore(preferences);
  const who = useStore(session);
  const state: TradingState | undefined = risk?.state ?? status?.risk?.state;
  const mode = platform?.mode;
  useTitle(titleOf(state, useInstrument(), prices ?? []));
  return (
    <header className="header">
      <div className="brand">
        <span className="brand-name">tickbus</span>
        <span className={`badge mode-${mode ?? "unknown"}`}>{mode ? (MODES[mode] ?? mode) : NONE}</span>
      </div>
      <nav className="views" aria-label="Views">
        {views.map(({ id, title }) => (
          <button
            key={id}
            type="button"
            aria-current={id === view ? "page" : undefined}
            onClick={() => prefer({ view: id })}
          >
            {title}
            {id === "activity" && <AlertCount />}
          </button>
        ))}
      </nav>
      <LinkState />
      <Health status={status} prices={prices ?? []} />
      <Figures status={status} />
      <div className="header-actions">
        <Trading state={state} reason={risk?.reason ?? ""} mayStop={may(who, "trade")} mayResume={may(who, "admin")} />
        <Menu />
        <KillSwitch enabled={may(who, "trade")} />
      </div>
    </header>
  );
}

/** How many alerts are on, wherever the user is. */
function AlertCount(): React.ReactNode {
  const alerts = useTopic("alerts").data ?? [];
  if (alerts.length === 0) return null;
  const isCritical = alerts.some((alert) => alert.severity === "CRITICAL");
  return (
    <span className={`count ${isCritical ? "count-critical" : ""}`} title={alerts.map((alert) => alert.title).join("\n")}>
      {alerts.length}
      <span className="hidden"> alerts</span>
    </span>
  );
}

/** Whether what is shown is news. */
function LinkState(): React.ReactNode {
  const link = useLink();
  const [, tick] = useState(0);
  useEffect(() => {
    if (link.state !== "stale") return undefined;
    const timer = setInterval(() => tick((count) => count + 1), 1_000);
    return () => clearInterval(timer);
  }, [link.state]);
  const texts = {
    connecting: "Connecting",
    live: "Live data",
    polling: "Polling",
    stale: `Stale ${age(Date.now() - link.heardAt)}`,
  };
  return (
    <span className={`signal signal-${link.state}`} role="status" data-testid="link">
      <i aria-hidden="true" />
      {texts[link.state]}
    </span>
  );
}

function Health({ status, prices }: { status: Status | undefined; prices: readonly Price[] }): React.ReactNode {
  const venues = [...new Set(prices.map((price) => price.venue))].sort();
  const services = status?.services ?? [];
  const waiting = services.filter((service) => !service.ready);
  return (
    <div className="health">
      {venues.map((venue) => (
        <Venue key={venue} name={venue} prices={prices.filter((price) => price.venue === venue)} />
      ))}
      {status && (
        <span
          className={`signal signal-${waiting.length > 0 ? "stale" : "live"}`}
          title={waiting.map((each) => `${each.service} waits for ${each.waiting_for}`).join("; ") || "all services are ready"}
        >
          <i aria-hidden="true" />
          {services.length - waiting.length}/{services.length} services
        </span>
      )}
    </div>
  );
}

/** How well a venue is heard: every market of it, or how many of them. */
function Venue({ name, prices }: { name: string; prices: readonly Price[] }): React.ReactNode {
  const silent = prices.filter((price) => price.stale).map((price) => price.instrument_id);
  const isWell = silent.length === 0;
  return (
    <span
      className={`signal signal-${isWell ? "live" : "stale"}`}
      title={isWell ? `${name}: prices are fresh` : `${name}: no fresh prices of ${silent.join(", ")}`}
    >
      <i aria-hidden="true" />
      {name}
      {!isWell && ` ${prices.length - silent.length}/${prices.length}`}
    </span>
  );
}

/** p50 of tick to order and of an order's way to the venue and back, and the clock's offset. */
function Figures({ status }: { status: Status | undefined }): React.ReactNode {
  const executions = (status?.services ?? []).filter((service) => service.service.startsWith("execution"));
  const tick = slowest(executions, "tick_to_order");
  const trip = slowest(executions, "order_round_trip");
  const offsets = (status?.services ?? []).map((service) => service.gauges["clock_offset_ms"]).filter((each) => each !== undefined);
  const offset = offsets.length > 0 ? Math.max(...offsets.map(Math.abs)) : undefined;
  return (
    <dl className="figures">
      <div title={`from the tick that caused it to the order on its way; p99 ${micros(tick?.p99)}`}>
        <dt>Tick to order</dt>
        <dd data-testid="tick-to-order">{micros(tick?.p50)}</dd>
      </div>
      <div title={`from the order on its way to the venue's answer; p99 ${micros(trip?.p99)}`}>
        <dt>Round trip</dt>
        <dd data-testid="round-trip">{micros(trip?.p50)}</dd>
      </div>
      <div title="how far our clock is from the venue's">
        <dt>Clock</dt>
        <dd>{offset === undefined ? NONE : `${offset.toFixed(0)} ms`}</dd>
      </div>
    </dl>
  );
}

function slowest(services: readonly Service[], hop: string): { p50: number; p99: number } | undefined {
  return services
    .map((service) => service.latency_us[hop])
    .filter((each) => each !== undefined && each.count > 0)
    .sort((a, b) => (b?.p50 ?? 0) - (a?.p50 ?? 0))[0];
}

