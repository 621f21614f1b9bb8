/**
 * Exact decimals for money: the API sends them as strings, and they stay exact here.
 * A decimal is `units` / 10^`scale`.
 */
export interface Decimal {
  readonly units: bigint;
  readonly scale: number;
}

export const ZERO: Decimal = { units: 0n, scale: 0 };

const SHAPE = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,3}))?$/;

/** The number that `text` writes, or null when it writes none. */
export function parse(text: string): Decimal | null {
  const match = SHAPE.exec(text.trim());
  if (!match) return null;
  const [, sign = "", whole = "", fraction = "", exponent = "0"] = match;
  if (whole + fraction === "") return null;
  const units = BigInt(whole + fraction) * (sign === "-" ? -1n : 1n);
  const scale = fraction.length - Number(exponent);
  return scale >= 0 ? { units, scale } : { units: units * pow10(-scale), scale: 0 };
}

/** The number that `value` is; zero for what is missing or no number. */
export function decimal(value: string | number | null | undefined): Decimal {
  if (value === null || value === undefined) return ZERO;
  return parse(String(value)) ?? ZERO;
}

export function add(a: Decimal, b: Decimal): Decimal {
  const scale = Math.max(a.scale, b.scale);
  return { units: at(a, scale) + at(b, scale), scale };
}

export function subtract(a: Decimal, b: Decimal): Decimal {
  return add(a, negate(b));
}

export function multiply(a: Decimal, b: Decimal): Decimal {
  return { units: a.units * b.units, scale: a.scale + b.scale };
}

export function negate(a: Decimal): Decimal {
  return { units: -a.units, scale: a.scale };
}

export function absolute(a: Decimal): Decimal {
  return a.units < 0n ? negate(a) : a;
}

/** -1, 0 or 1: how `a` stands to `b`. */
export function compare(a: Decimal, b: Decimal): -1 | 0 | 1 {
  const scale = Math.max(a.scale, b.scale);
  const left = at(a, scale);
  const right = at(b, scale);
  return left < right ? -1 : left > right ? 1 : 0;
}

/** -1, 0 or 1: below, at or above zero. */
export function sign(a: Decimal): -1 | 0 | 1 {
  return a.units < 0n ? -1 : a.units > 0n ? 1 : 0;
}

/** `a` at exactly `places` decimals; a half goes away from zero. */
export function round(a: Decimal, places: number): Decimal {
  if (a.scale <= places) return { units: at(a, places), scale: places };
  const unit = pow10(a.scale - places);
  const half = unit / 2n;
  const size = a.units < 0n ? -a.units : a.units;
  const rounded = (size + half) / unit;
  return { units: a.units < 0n ? -rounded : rounded, scale: places };
}

/** `a` cut down (towards zero) to a multiple of `step`; `a` itself where there is no step. */
export function floorTo(a: Decimal, step: Decimal): Decimal {
  if (step.units <= 0n) return a;
  const scale = Math.max(a.scale, step.scale);
  const unit = at(step, scale);
  return { units: (at(a, scale) / unit) * unit, scale };
}

/** Whether `a` is a multiple of `step`; everything is one of no step. */
export function isMultiple(a: Decimal, step: Decimal): boolean {
  if (step.units <= 0n) return true;
  const scale = Math.max(a.scale, step.scale);
  return at(a, scale) % at(step, scale) === 0n;
}

/** `a` divided by `b`, at `places` decimals, cut off; zero where `b` is zero. */
export function divide(a: Decimal, b: Decimal, places: number): Decimal {
  if (b.units === 0n) return { units: 0n, scale: places };
  return { units: (a.units * pow10(places + b.scale)) / (b.units * pow10(a.scale)), scale: places };
}

/** `a` written out, with all of its decimals and no exponent. */
export function write(a: Decimal): string {
  const digits = (a.units < 0n ? -a.units : a.units).toString().padStart(a.scale + 1, "0");
  const whole = digits.slice(0, digits.length - a.scale);
  const minus = a.units < 0n ? "-" : "";
  return a.scale === 0 ? minus + whole : `${minus}${whole}.${digits.slice(digits.length - a.scale)}`;
}

/** `a` written out without trailing zeros. */
export function plain(a: Decimal): string {
  const text = write(a);
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** How many decimals a step such as "0.010" asks for: 2. */
export function placesOf(step: string): number {
  const text = plain(decimal(step));
  const dot = text.indexOf(".");
  return dot < 0 ? 0 : text.length - dot - 1;
}

/** The nearest float; only for drawing. */
export function toNumber(a: Decimal): number {
  return Number(write(a));
}

function at(a: Decimal, scale: number): bigint {
  return a.units * pow10(scale - a.scale);
}

function pow10(exponent: number): bigint {
  return 10n ** BigInt(exponent);
}
