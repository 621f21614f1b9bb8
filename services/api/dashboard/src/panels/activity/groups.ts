/** Fills by year, month and day of the user's time zone, with what each group comes to. */
import type { Fill } from "../../api/types.ts";
import { add, decimal, multiply, ZERO, type Decimal } from "../../lib/decimal.ts";
import { day, type Zone } from "../../lib/time.ts";

export type Depth = "year" | "month" | "day";

export interface Group {
  /** `2026`, `2026-11` or `2026-11-22`. */
  readonly name: string;
  readonly depth: Depth;
  readonly count: number;
  readonly bought: Decimal;
  readonly sold: Decimal;
  readonly fees: Decimal;
  readonly groups: readonly Group[];
  readonly fills: readonly Fill[];
}

const LENGTHS: readonly (readonly [Depth, number])[] = [
  ["year", 4],
  ["month", 7],
  ["day", 10],
];

/** The groups of `fills` in their order, years first; sums are in quote currency. */
export function grouped(fills: readonly Fill[], zone: Zone): readonly Group[] {
  return split(fills.map((fill) => [fill.at === null ? "unknown" : day(fill.at, zone), fill]), 0);
}

function split(dated: readonly (readonly [string, Fill])[], level: number): readonly Group[] {
  const [depth, length] = LENGTHS[level] ?? ["day", 10];
  const parts = new Map<string, (readonly [string, Fill])[]>();
  for (const each of dated) {
    const name = each[0].slice(0, length);
    const part = parts.get(name);
    if (part) part.push(each);
    else parts.set(name, [each]);
  }
  return [...parts].map(([name, part]) => {
    const fills = part.map(([, fill]) => fill);
    return {
      name,
      depth,
      count: fills.length,
      bought: worth(fills, "BUY"),
      sold: worth(fills, "SELL"),
      fees: fills.reduce((sum, fill) => add(sum, feeOf(fill)), ZERO),
      groups: level < LENGTHS.length - 1 ? split(part, level + 1) : [],
      fills: level === LENGTHS.length - 1 ? fills : [],
    };
  });
}

function worth(fills: readonly Fill[], side: string): Decimal {
  return fills
    .filter((fill) => fill.side === side)
    .reduce((sum, fill) => add(sum, multiply(decimal(fill.price), decimal(fill.quantity))), ZERO);
}

/** The fee in quote currency, as the books valued it, else as the fill's own price values it. */
function feeOf(fill: Fill): Decimal {
  if (fill.fee_value !== null) return decimal(fill.fee_value);
  const [base, quote] = fill.instrument_id.split("-");
  if (fill.fee_asset === quote) return decimal(fill.fee);
  return fill.fee_asset === base ? multiply(decimal(fill.fee), decimal(fill.price)) : ZERO;
}
