/**
 * Every panel of the page and the view it is on. To add one: a folder below src/panels with its
 * component, and a line here. Its place on wide pages is `area`, in src/styles/views.css.
 */
import type { ComponentType } from "react";
import { Alerts } from "../panels/activity/Alerts.tsx";
import { Session } from "../panels/activity/Session.tsx";
import { Timeline } from "../panels/activity/Timeline.tsx";
import { Blotter } from "../panels/blotter/Blotter.tsx";
import { Chart } from "../panels/chart/Chart.tsx";
import { Markets } from "../panels/consolidated/Markets.tsx";
import { Equity } from "../panels/equity/Equity.tsx";
import { Ladder } from "../panels/ladder/Ladder.tsx";
import { Profit } from "../panels/profit/Profit.tsx";
import { Denials } from "../panels/risk/Denials.tsx";
import { Limits } from "../panels/risk/Limits.tsx";
import { Scopes } from "../panels/risk/Scopes.tsx";
import { Decisions } from "../panels/strategies/Decisions.tsx";
import { Strategies } from "../panels/strategies/Strategies.tsx";
import { StrategyDetail } from "../panels/strategies/StrategyDetail.tsx";
import { Feeds } from "../panels/system/Feeds.tsx";
import { Latency } from "../panels/system/Latency.tsx";
import { Logs } from "../panels/system/Logs.tsx";
import { Services } from "../panels/system/Services.tsx";
import { Waterfall } from "../panels/system/Waterfall.tsx";
import { Tape } from "../panels/tape/Tape.tsx";
import { Ticket } from "../panels/ticket/Ticket.tsx";
import { Watch } from "../panels/watch/Watch.tsx";

export interface View {
  readonly id: string;
  readonly title: string;
}

export interface PanelEntry {
  readonly view: string;
  /** The grid area, and the order on narrow pages, where panels follow each other. */
  readonly area: string;
  readonly component: ComponentType;
}

export const views: readonly View[] = [
  { id: "trade", title: "Trade" },
  { id: "strategies", title: "Strategies" },
  { id: "risk", title: "Risk" },
  { id: "activity", title: "Activity" },
  { id: "system", title: "System" },
];

export const panels: readonly PanelEntry[] = [
  { view: "trade", area: "profit", component: Profit },
  { view: "trade", area: "watch", component: Watch },
  { view: "trade", area: "chart", component: Chart },
  { view: "trade", area: "ladder", component: Ladder },
  { view: "trade", area: "ticket", component: Ticket },
  { view: "trade", area: "blotter", component: Blotter },
  { view: "trade", area: "equity", component: Equity },
  { view: "trade", area: "tape", component: Tape },
  { view: "strategies", area: "strategies", component: Strategies },
  { view: "strategies", area: "strategy", component: StrategyDetail },
  { view: "strategies", area: "decisions", component: Decisions },
  { view: "risk", area: "scopes", component: Scopes },
  { view: "risk", area: "limits", component: Limits },
  { view: "risk", area: "denials", component: Denials },
  { view: "activity", area: "timeline", component: Timeline },
  { view: "activity", area: "session", component: Session },
  { view: "activity", area: "markets", component: Markets },
  { view: "activity", area: "alerts", component: Alerts },
  { view: "system", area: "services", component: Services },
  { view: "system", area: "trace", component: Waterfall },
  { view: "system", area: "latency", component: Latency },
  { view: "system", area: "feeds", component: Feeds },
  { view: "system", area: "logs", component: Logs },
];
