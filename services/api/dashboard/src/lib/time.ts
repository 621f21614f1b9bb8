/** Times in the zone that the user chose: the one of the browser, or UTC. */
export type Zone = "local" | "utc";

const cache = new Map<string, Intl.DateTimeFormat>();

function formatter(zone: Zone, kind: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${zone}/${kind}`;
  let found = cache.get(key);
  if (!found) {
    found = new Intl.DateTimeFormat("en-CA", {
      hourCycle: "h23",
      ...options,
      ...(zone === "utc" ? { timeZone: "UTC" } : {}),
    });
    cache.set(key, found);
  }
  return found;
}

const TIME: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
const DATE: Intl.DateTimeFormatOptions = { year: "numeric", month: "2-digit", day: "2-digit" };

/** 14:05:09 */
export function clock(at: string | number | Date, zone: Zone): string {
  return formatter(zone, "time", TIME).format(new Date(at));
}

/** 14:05 */
export function minute(at: string | number | Date, zone: Zone): string {
  return formatter(zone, "minute", { hour: "2-digit", minute: "2-digit" }).format(new Date(at));
}

/** 14:05:09.123 */
export function clockMs(at: string | number | Date, zone: Zone): string {
  const moment = new Date(at);
  return `${clock(moment, zone)}.${String(moment.getMilliseconds()).padStart(3, "0")}`;
}

/** 2026-11-22 */
export function day(at: string | number | Date, zone: Zone): string {
  return formatter(zone, "day", DATE).format(new Date(at));
}

/** 2026-11-22 14:05:09 */
export function moment(at: string | number | Date, zone: Zone): string {
  return `${day(at, zone)} ${clock(at, zone)}`;
}

/** The name of the zone for the API: an IANA name such as Europe/Zurich, or UTC. */
export function zoneName(zone: Zone): string {
  return zone === "utc" ? "UTC" : Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
}

/** How long ago, short: 4 s, 3 min, 2 h, 5 d. */
export function age(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86_400)} d`;
}
