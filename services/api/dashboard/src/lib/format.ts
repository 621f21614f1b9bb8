/** Numbers as a trader reads them: grouped, in the precision of the instrument, never rounded silently. */
import { decimal, plain, round, sign, write, type Decimal } from "./decimal.ts";

export const NONE = "–";
const MINUS = "−";

/** `text` (digits, maybe a dot) with its thousands apart. */
export function group(text: string): string {
  const negative = text.startsWith("-");
  const [whole = "0", fraction] = (negative ? text.slice(1) : text).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
  return (negative ? MINUS : "") + (fraction === undefined ? grouped : `${grouped}.${fraction}`);
}

/** An exact amount at `places` decimals; a dash where there is none. */
export function money(value: string | null | undefined, places = 2): string {
  return value === null || value === undefined ? NONE : fixed(decimal(value), places);
}

/** Like `money`, with a plus sign above zero. */
export function signed(value: string | null | undefined, places = 2): string {
  if (value === null || value === undefined) return NONE;
  const rounded = round(decimal(value), places);
  return (sign(rounded) > 0 ? "+" : "") + fixed(rounded, places);
}

function fixed(value: Decimal, places: number): string {
  const rounded = round(value, places);
  return group(write(rounded.units === 0n ? { ...rounded, units: 0n } : rounded));
}

/**
 * A quantity of ours: at least `places` decimals so that columns align, and more only where it has
 * more, because what we hold must not be shown as less than it is.
 */
export function quantity(value: string | null | undefined, places = 0): string {
  if (value === null || value === undefined) return NONE;
  const exact = decimal(plain(decimal(value)));
  return group(write(exact.scale < places ? round(exact, places) : exact));
}

/** A number of the market at `places` decimals. */
export function market(value: number | null | undefined, places: number): string {
  return value === null || value === undefined || !Number.isFinite(value)
    ? NONE
    : group(value.toFixed(places));
}

/** A size of the market, short: 12.3K, 1.20M; below 1,000 at `places` decimals. */
export function compact(value: number | null | undefined, places = 2): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  const size = Math.abs(value);
  if (size >= 1e9) return `${(value / 1e9).toFixed(2)}B`;
  if (size >= 1e6) return `${(value / 1e6).toFixed(2)}M`;
  if (size >= 1e4) return `${(value / 1e3).toFixed(1)}K`;
  return group(value.toFixed(places));
}

/** Microseconds as people read them: 640 µs, 3.7 ms, 1.2 s. */
export function micros(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  if (value < 1000) return `${value.toFixed(0)} µs`;
  if (value < 1e6) return `${(value / 1e3).toFixed(value < 1e4 ? 1 : 0)} ms`;
  return `${(value / 1e6).toFixed(1)} s`;
}

/** "up", "down" or "flat": the class that colours a signed amount. */
export function tone(value: string | null | undefined): "up" | "down" | "flat" {
  const side = sign(decimal(value));
  return side > 0 ? "up" : side < 0 ? "down" : "flat";
}

/** The same of a gain as `signed` shows it: what reads 0.00 is neither. */
export function gain(value: string | null | undefined, places = 2): "up" | "down" | "flat" {
  return tone(write(round(decimal(value), places)));
}

/**
 * What a strategy wrote down of a decision, short enough to read: a float in the digits that matter,
 * True and False as words, everything else as it is.
 */
export function recorded(text: string): string {
  if (text === "True" || text === "False") return text === "True" ? "yes" : "no";
  const [, whole = "", fraction = ""] = /^-?(\d+)\.(\d+)(?:e-\d+)?$/.exec(text) ?? [];
  if (fraction.length <= 8 && !text.includes("e")) return text;
  if (whole === "") return text;
  const value = Number(text);
  return group(plain(decimal(Math.abs(value) >= 1 ? value.toFixed(4) : value.toPrecision(5))));
}

/** `FILLED` and `PARTIALLY_FILLED` as words. */
export function words(code: string): string {
  return code.toLowerCase().replaceAll("_", " ");
}
