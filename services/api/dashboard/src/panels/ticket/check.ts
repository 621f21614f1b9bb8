/** What a ticket would do, and what is wrong with it before anybody is asked; exact. */
import type { Balance, Instrument, Position, Price } from "../../api/types.ts";
import * as d from "../../lib/decimal.ts";
import { hasLimit, hasTrigger, type Ticket } from "../../store/ticket.ts";

export interface Preview {
  /** In quote currency, at the limit or the other side of the market; null when unknown. */
  readonly notional: d.Decimal | null;
  /** What would be held if all of it filled. */
  readonly after: d.Decimal | null;
  /** What the order is paid with: the quote asset; for a sale of what is held the base asset. */
  readonly pays: string;
  /** How much of that is free. */
  readonly free: d.Decimal | null;
  /** Field → what is wrong; empty when nothing is. */
  readonly problems: Readonly<Partial<Record<Field, string>>>;
}

export type Field = "quantity" | "price" | "trigger";

interface Known {
  readonly instrument: Instrument;
  readonly price: Price | undefined;
  readonly position: Position | undefined;
  readonly balances: readonly Balance[];
}

/** The preview of `ticket`; a field that is still empty is no problem yet. */
export function preview(ticket: Ticket, known: Known): Preview {
  const { instrument } = known;
  const quantity = number(ticket.quantity);
  const price = hasLimit(ticket.kind) ? number(ticket.price) : marketPrice(ticket, known.price);
  const trigger = hasTrigger(ticket.kind) ? number(ticket.trigger) : null;
  const notional = quantity && price ? d.multiply(quantity, price) : null;
  const problems: Partial<Record<Field, string>> = {};
  const wrong = {
    quantity: quantityProblem(ticket, instrument, quantity, notional),
    price: hasLimit(ticket.kind) ? priceProblem(ticket.price, instrument) : "",
    trigger: hasTrigger(ticket.kind) ? priceProblem(ticket.trigger, instrument) : "",
  };
  for (const [field, problem] of Object.entries(wrong)) {
    if (problem) problems[field as Field] = problem;
  }
  const held = d.decimal(known.position?.quantity);
  const signed = quantity && (ticket.side === "BUY" ? quantity : d.negate(quantity));
  const pays = ticket.side === "BUY" || isMargined(instrument) ? instrument.quote : instrument.base;
  const balance = known.balances.find((each) => each.venue === instrument.venue && each.asset === pays);
  return {
    notional: notional ?? (quantity && trigger ? d.multiply(quantity, trigger) : null),
    after: signed && d.add(held, signed),
    pays,
    free: balance ? d.decimal(balance.free) : null,
    problems,
  };
}

/** Whether margin is put down for it, whichever side: BTC-USDT-PERP, not BTC-USDT. */
export function isMargined({ instrument_id: id, base, quote }: Instrument): boolean {
  return id !== `${base}-${quote}`;
}

/** Whether everything that the ticket needs is given. */
export function isComplete(ticket: Ticket): boolean {
  return (
    ticket.quantity.trim() !== "" &&
    (!hasLimit(ticket.kind) || ticket.price.trim() !== "") &&
    (!hasTrigger(ticket.kind) || ticket.trigger.trim() !== "")
  );
}

function number(text: string): d.Decimal | null {
  return text.trim() === "" ? null : d.parse(text);
}

/** What a market order would get. */
export function marketPrice(ticket: Ticket, price: Price | undefined): d.Decimal | null {
  const at = ticket.side === "BUY" ? price?.ask : price?.bid;
  return at === null || at === undefined ? null : d.decimal(at);
}

function quantityProblem(
  ticket: Ticket,
  instrument: Instrument,
  quantity: d.Decimal | null,
  notional: d.Decimal | null,
): string {
  if (ticket.quantity.trim() === "") return "";
  if (quantity === null) return "not a number";
  if (d.sign(quantity) <= 0) return "must be above 0";
  const { lot_size: lot, quantity_min: least, notional_min: worth } = instrument;
  if (!d.isMultiple(quantity, d.decimal(lot))) return `not a multiple of ${d.plain(d.decimal(lot))}`;
  if (d.compare(quantity, d.decimal(least)) < 0) return `less than ${d.plain(d.decimal(least))}`;
  const most = d.decimal(
    ticket.kind === "MARKET" && d.sign(d.decimal(instrument.market_quantity_max)) > 0
      ? instrument.market_quantity_max
      : instrument.quantity_max,
  );
  if (d.sign(most) > 0 && d.compare(quantity, most) > 0) return `more than ${d.plain(most)}`;
  if (notional && !ticket.reduceOnly && d.compare(notional, d.decimal(worth)) < 0) {
    return `worth less than ${d.plain(d.decimal(worth))} ${instrument.quote}`;
  }
  return "";
}

function priceProblem(text: string, instrument: Instrument): string {
  if (text.trim() === "") return "";
  const price = d.parse(text);
  if (price === null) return "not a number";
  if (d.sign(price) <= 0) return "must be above 0";
  const tick = d.decimal(instrument.tick_size);
  if (!d.isMultiple(price, tick)) return `not a multiple of ${d.plain(tick)}`;
  const most = d.decimal(instrument.price_max);
  if (d.sign(most) > 0 && d.compare(price, most) > 0) return `above ${d.plain(most)}`;
  return "";
}
