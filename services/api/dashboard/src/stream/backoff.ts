/** How long to wait before the next try: longer each time, and never all clients at once. */
export const FIRST_MS = 500;
export const LONGEST_MS = 15_000;

/** Milliseconds before try number `tries` (0 is the first repeat); `chance` is from 0 to 1. */
export function backoffMs(tries: number, chance: number): number {
  const most = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(tries, 10));
  return Math.round(most / 2 + (most / 2) * chance);
}
