/**
 * The JSON of the gateway, as its OpenAPI at /docs describes it.
 * What is ours is exact and a string; what the market says is a number; times are ISO 8601 UTC.
 */
export type Side = "BUY" | "SELL";
export type TradingState = "ACTIVE" | "REDUCING" | "HALTED";

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly field?: string | null;
  readonly value?: string | null;
  readonly remedy?: string | null;
  readonly [extra: string]: unknown;
}

export interface Instrument {
  readonly symbol: string;
  readonly instrument_id: string;
  readonly venue: string;
  readonly base: string;
  readonly quote: string;
  readonly tick_size: string;
  readonly lot_size: string;
  readonly quantity_min: string;
  readonly quantity_max: string;
  readonly market_quantity_max: string;
  readonly price_min: string;
  readonly price_max: string;
  readonly notional_min: string;
  readonly notional_max: string;
  readonly trading: boolean;
}

export interface Price {
  readonly symbol: string;
  readonly instrument_id: string;
  readonly venue: string;
  readonly bid: number | null;
  readonly bid_size: number | null;
  readonly ask: number | null;
  readonly ask_size: number | null;
  readonly mid: number | null;
  readonly last_price: number | null;
  readonly last_size: number | null;
  readonly updated_at: string | null;
  readonly age_ms: number | null;
  readonly stale: boolean;
}

export type Level = readonly [price: number, size: number];

export interface Depth {
  readonly symbol: string;
  readonly instrument_id: string;
  readonly venue: string;
  readonly bids: readonly Level[];
  readonly asks: readonly Level[];
  readonly spread: number | null;
  readonly micro_price: number | null;
  readonly imbalance: number | null;
  readonly sequence: number;
  readonly updated_at: string | null;
  readonly stale: boolean;
}

export interface Trade {
  readonly id?: string;
  readonly price: number;
  readonly size: number;
  /** Who took: the side that was in a hurry. */
  readonly aggressor: string;
  readonly at: string;
}

export interface Candle {
  readonly opened_at: string;
  readonly open: number | null;
  readonly high: number | null;
  readonly low: number | null;
  readonly close: number | null;
  readonly volume: number;
  readonly notional: number;
  readonly buys: number;
  readonly trades: number;
  readonly vwap: number | null;
  readonly mid: number | null;
}

export interface OrderEvent {
  readonly sequence: number;
  readonly event: string;
  readonly at: string | null;
  readonly received_at: string | null;
  readonly body: unknown;
}

export interface Order {
  readonly id: string;
  readonly strategy: string;
  readonly symbol: string;
  readonly instrument_id: string;
  readonly venue: string;
  readonly side: Side;
  readonly type: string;
  readonly quantity: string;
  readonly price: string | null;
  readonly time_in_force: string;
  readonly post_only: boolean;
  readonly reduce_only: boolean;
  readonly trigger_price: string | null;
  readonly expires_at: string | null;
  readonly replaces: string;
  readonly parent: string;
  readonly state: string;
  readonly working: boolean;
  readonly filled_quantity: string;
  readonly leaves_quantity: string;
  readonly avg_fill_price: string | null;
  readonly fees: Readonly<Record<string, string>>;
  readonly venue_order_id: string;
  readonly reason: string;
  readonly detail: string;
  readonly created_at: string | null;
  readonly updated_at: string | null;
  readonly events?: readonly OrderEvent[] | null;
}

export interface Fill {
  readonly id: string;
  readonly order_id: string;
  readonly strategy: string;
  readonly symbol: string;
  readonly instrument_id: string;
  readonly venue: string;
  readonly venue_order_id: string;
  readonly side: Side;
  readonly price: string;
  readonly quantity: string;
  readonly fee: string;
  readonly fee_asset: string;
  readonly liquidity: string;
  readonly at: string | null;
  readonly fee_value: string | null;
}

export interface Position {
  readonly symbol: string;
  readonly instrument_id: string;
  readonly venue: string;
  readonly quantity: string;
  readonly avg_entry_price: string | null;
  readonly mark: string | null;
  readonly realized_pnl: string;
  readonly unrealized_pnl: string;
  readonly fees: string;
  readonly net_pnl: string;
  readonly fills: number;
  readonly updated_at: string | null;
}

export interface Balance {
  readonly venue: string;
  readonly asset: string;
  readonly free: string;
  readonly locked: string;
  readonly total: string;
}

export interface StrategyBooks {
  readonly strategy: string;
  readonly realized_pnl: string;
  readonly unrealized_pnl: string;
  readonly fees: string;
  readonly net_pnl: string;
  readonly drawdown: string;
  readonly drawdown_max: string;
  readonly fills: number;
  readonly positions: readonly Position[];
}

export interface Portfolio {
  readonly currency: string;
  readonly realized_pnl: string;
  readonly unrealized_pnl: string;
  readonly fees: string;
  readonly net_pnl: string;
  readonly funding: string;
  readonly equity: string | null;
  readonly equity_peak: string | null;
  readonly drawdown: string;
  readonly drawdown_max: string;
  readonly orders: number;
  readonly working_orders: number;
  readonly fills: number;
  readonly updated_at: string | null;
  readonly positions: readonly Position[];
  readonly balances: readonly Balance[];
  readonly strategies: readonly StrategyBooks[];
}

export interface SeriesPoint {
  readonly at: string;
  readonly equity: string;
  readonly net_pnl: string;
  readonly realized_pnl: string | null;
  readonly unrealized_pnl: string | null;
  readonly fees: string | null;
  readonly drawdown: string;
}

/** What came of a span: P&L is measured from the last point before it. */
export interface Change {
  readonly equity: string | null;
  readonly net_pnl: string | null;
  readonly realized_pnl: string | null;
  readonly unrealized_pnl: string | null;
  readonly fees: string | null;
}

export interface Curve {
  /** null: the account. */
  readonly strategy: string | null;
  readonly baseline: SeriesPoint | null;
  readonly change: Change;
  readonly points: readonly SeriesPoint[];
}

/** GET /api/v1/portfolio/series */
export interface Series {
  readonly currency: string;
  readonly since: string | null;
  readonly session: { readonly since: string | null; readonly actor: string; readonly reason: string };
  readonly curves: readonly Curve[];
}

export interface Hop {
  readonly p50: number;
  readonly p99: number;
  readonly count: number;
}

export interface Service {
  readonly service: string;
  readonly instance: string;
  readonly version: string;
  readonly ready: boolean;
  readonly waiting_for: string;
  readonly uptime_s: number;
  readonly counts: Readonly<Record<string, number>>;
  readonly gauges: Readonly<Record<string, number>>;
  readonly latency_us: Readonly<Record<string, Hop>>;
  readonly errors: Readonly<Record<string, number>>;
  readonly metrics_url: string;
}

export interface Status {
  readonly services: readonly Service[];
  readonly risk: { readonly state: TradingState; readonly reason: string } | null;
  readonly dead_letters: number | null;
}

export interface RiskScope {
  readonly scope: string;
  readonly state: TradingState;
  readonly reason: string;
  readonly gross_exposure: string;
  readonly net_exposure: string;
  readonly net_pnl: string;
  readonly daily_loss: string;
  readonly drawdown: string;
  readonly heartbeat_lost: boolean;
}

export interface Risk {
  readonly state: TradingState;
  readonly reason: string;
  readonly working_orders: number;
  readonly denials: number;
  readonly currency: string;
  readonly scopes: readonly RiskScope[];
  readonly updated_at: string | null;
}

/** Who the gateway takes us for: GET /api/v1/auth/me. */
export interface Me {
  readonly user: string;
  readonly role: string;
  readonly scopes: readonly string[];
  readonly via?: string;
  readonly local: boolean;
}

/** What this installation is: GET /api/v1/platform. */
export interface Platform {
  readonly name: string;
  readonly mode: "simulated" | "paper" | "testnet" | "live" | "dry_run";
  readonly venues: readonly string[];
  readonly version: string;
}
