/** What the user chose, kept in this browser alone. */
import type { Zone } from "../lib/time.ts";
import { createStore } from "./create.ts";

export type Theme = "auto" | "dark" | "light";

export interface Preferences {
  readonly theme: Theme;
  readonly zone: Zone;
  /** Whether a click into the ladder sends at once instead of filling the ticket. */
  readonly oneClick: boolean;
  /** Market → the step of its ladder, in ticks; one where it is not named. */
  readonly steps: Readonly<Record<string, number>>;
  readonly interval: string;
  readonly range: string;
  readonly view: string;
  /** `<instrument>@<venue>`, empty for the first there is. */
  readonly instrument: string;
}

const KEY = "tickbus.preferences";
const DEFAULTS: Preferences = {
  theme: "auto",
  zone: "local",
  oneClick: false,
  steps: {},
  interval: "1m",
  range: "session",
  view: "trade",
  instrument: "",
};

function load(): Preferences {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return typeof kept === "object" && kept !== null ? { ...DEFAULTS, ...kept } : DEFAULTS;
  } catch {
    return DEFAULTS;
  }
}

export const preferences = createStore<Preferences>(load());

preferences.subscribe(() => {
  try {
    localStorage.setItem(KEY, JSON.stringify(preferences.get()));
  } catch {
    // A browser that keeps nothing: the choice lasts as long as the page.
  }
});

/** Change some of them. */
export function prefer(changes: Partial<Preferences>): void {
  preferences.set((now) => ({ ...now, ...changes }));
}
