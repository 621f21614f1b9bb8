/** How much of a limit is used, as a bar and a colour. */
import { decimal, toNumber } from "../../lib/decimal.ts";

/** From here on a limit is near. */
export const NEAR = 0.8;

export type Level = "free" | "near" | "reached";

/** The part of a limit that is used, from 0; null where it is not a matter of how much. */
export function partOf(used: string | null): number | null {
  return used === null ? null : Math.max(0, toNumber(decimal(used)));
}

export function levelOf(part: number | null): Level {
  if (part === null || part < NEAR) return "free";
  return part < 1 ? "near" : "reached";
}

/** `strategy:alpha` → `alpha`; the order in which scopes are listed. */
export function orderOf(scope: string): string {
  const kind = scope.split(":")[0] ?? "";
  const rank = ["global", "venue", "instrument", "strategy"].indexOf(kind);
  return `${rank < 0 ? 9 : rank} ${scope}`;
}
