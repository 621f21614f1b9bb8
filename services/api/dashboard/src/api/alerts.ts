/** What the gateway tells of alerts: GET /alerts, and the topic `alerts` of the stream. */
export interface Alert {
  readonly id: string;
  readonly rule: string;
  readonly subject: string;
  readonly severity: string;
  readonly title: string;
  readonly detail: string;
  readonly remedy: string;
  readonly count: number;
  readonly raised_at: string | null;
  readonly cleared_at: string | null;
}

export interface Channel {
  readonly name: string;
  readonly scheme: string;
  readonly waiting: number;
  readonly failures: number;
  readonly problem: string;
}

export interface Alerts {
  readonly active: readonly Alert[];
  readonly recent: readonly Alert[];
  readonly channels: readonly Channel[];
}

/** The alerts that are on after `news`, of which some may be over. */
export function alertsAfter(known: readonly Alert[], news: readonly Alert[]): readonly Alert[] {
  // The oldest first, so that a change takes the place of what it changes.
  const byId = new Map([...news, ...known].reverse().map((alert) => [alert.id, alert]));
  return [...byId.values()].filter((alert) => alert.cleared_at === null).reverse();
}
