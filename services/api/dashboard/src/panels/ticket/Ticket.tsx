/** The order ticket: what to trade, what it would do, what risk says of it, and the button. */
import { useEffect, useId, useState, type FormEvent } from "react";
import { place } from "../../api/actions.ts";
import type { Instrument } from "../../api/types.ts";
import { decimal, floorTo, divide, multiply, placesOf, plain, round, sign, write, type Decimal } from "../../lib/decimal.ts";
import { group, NONE } from "../../lib/format.ts";
import { useStore } from "../../store/create.ts";
import { marketName, useInstrument } from "../../store/market.ts";
import { may, session } from "../../store/session.ts";
import { fillIn, hasLimit, hasTrigger, ticket, type Kind, type Lasts, type Ticket as Held } from "../../store/ticket.ts";
import { useTopic } from "../../stream/use.ts";
import { Choice } from "../../ui/Choice.tsx";
import { Panel } from "../../ui/Panel.tsx";
import { isComplete, marketPrice, preview, type Field } from "./check.ts";
import { LASTS, mayRest, orderOf } from "./order.ts";
import { useRisk } from "./risk.ts";

const KINDS: readonly (readonly [Kind, string])[] = [
  ["LIMIT", "Limit"],
  ["MARKET", "Market"],
  ["STOP_MARKET", "Stop"],
  ["STOP_LIMIT", "Stop limit"],
  ["TAKE_PROFIT_MARKET", "Take profit"],
  ["TAKE_PROFIT_LIMIT", "Take profit limit"],
];
const SHARES: readonly (readonly [string, string])[] = [
  ["0.1", "10%"],
  ["0.25", "25%"],
  ["0.5", "50%"],
  ["1", "Max"],
];

export function Ticket(): React.ReactNode {
  const instrument = useInstrument();
  return (
    <Panel title="Order" className="ticket" tools={<span className="dim">{instrument?.instrument_id ?? NONE}</span>}>
      {instrument && <Form instrument={instrument} key={marketName(instrument)} />}
    </Panel>
  );
}

function Form({ instrument }: { instrument: Instrument }): React.ReactNode {
  const held = useStore(ticket);
  const mayTrade = may(useStore(session), "trade");
  const [busy, setBusy] = useState(false);
  const prices = useTopic("prices").data;
  const portfolio = useTopic("portfolio").data;
  const here = (each: { instrument_id: string; venue: string }): boolean =>
    marketName(each) === marketName(instrument);
  const seen = preview(held, {
    instrument,
    price: prices?.find(here),
    position: portfolio?.positions.find(here),
    balances: portfolio?.balances ?? [],
  });
  const complete = isComplete(held) && Object.keys(seen.problems).length === 0;
  const order = complete ? orderOf(held, instrument, Date.now()) : null;
  const verdict = useRisk(order);

  // Prices of another instrument mean nothing here.
  useEffect(() => () => fillIn({ price: "", trigger: "" }), []);

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    if (!order || busy) return;
    setBusy(true);
    await place(order);
    setBusy(false);
  }

  function takeShare(share: string): void {
    if (!seen.free) return;
    const at = hasLimit(held.kind) && isPrice(held.price) ? decimal(held.price) : marketPrice(held, prices?.find(here));
    const most = seen.pays === instrument.base ? seen.free : at ? divide(seen.free, at, 12) : null;
    if (most) fillIn({ quantity: plain(floorTo(multiply(most, decimal(share)), decimal(instrument.lot_size))) });
  }

  const places = placesOf(instrument.tick_size);
  return (
    <form className="ticket-form" onSubmit={(event) => void submit(event)}>
      <Choice
        label="Side"
        className={`ticket-side ticket-${held.side}`}
        value={held.side}
        options={[
          ["BUY", "Buy"],
          ["SELL", "Sell"],
        ]}
        onChange={(side) => fillIn({ side })}
      />
      <div className="ticket-pair">
        <label className="field">
          Type
          <select value={held.kind} onChange={(event) => fillIn({ kind: event.target.value as Kind })}>
            {KINDS.map(([kind, text]) => (
              <option key={kind} value={kind}>
                {text}
              </option>
            ))}
          </select>
        </label>
        <label className="field">
          Lasts
          <select
            value={hasLimit(held.kind) ? held.lasts : "GTC"}
            disabled={!hasLimit(held.kind)}
            onChange={(event) => fillIn({ lasts: event.target.value as Lasts })}
          >
            {LASTS.map(([lasts, text, means]) => (
              <option key={lasts} value={lasts} title={means}>
                {text}
              </option>
            ))}
          </select>
        </label>
      </div>
      <NumberField
        name="quantity"
        label={`Quantity, ${instrument.base}`}
        value={held.quantity}
        problem={seen.problems.quantity}
        step={instrument.lot_size}
        onChange={(quantity) => fillIn({ quantity })}
      />
      <div className="ticket-shares" role="group" aria-label="Share of what is free">
        {SHARES.map(([share, text]) => (
          <button key={share} type="button" disabled={!seen.free} onClick={() => takeShare(share)}>
            {text}
          </button>
        ))}
      </div>
      <div className="ticket-pair">
        <NumberField
          name="price"
          label="Limit price"
          value={hasLimit(held.kind) ? held.price : ""}
          disabled={!hasLimit(held.kind)}
          problem={seen.problems.price}
          step={instrument.tick_size}
          onChange={(price) => fillIn({ price })}
        />
        <NumberField
          name="trigger"
          label="Trigger price"
          value={hasTrigger(held.kind) ? held.trigger : ""}
          disabled={!hasTrigger(held.kind)}
          problem={seen.problems.trigger}
          step={instrument.tick_size}
          onChange={(trigger) => fillIn({ trigger })}
        />
      </div>
      <div className="ticket-flags">
        <label className="check">
          <input
            type="checkbox"
            checked={held.postOnly}
            disabled={!mayRest(held)}
            onChange={(event) => fillIn({ postOnly: event.target.checked })}
          />
          Post only
        </label>
        <label className="check">
          <input
            type="checkbox"
            checked={held.reduceOnly}
            onChange={(event) => fillIn({ reduceOnly: event.target.checked })}
          />
          Reduce only
        </label>
      </div>
      <dl className="ticket-preview">
        <Line name="Worth" value={shown(seen.notional, places)} unit={instrument.quote} />
        <Line name="Held after" value={seen.after ? group(plain(seen.after)) : NONE} unit={instrument.base} />
        <Line name="Free" value={shown(seen.free, seen.pays === instrument.quote ? 2 : 6)} unit={seen.pays} />
      </dl>
      <p className={`ticket-verdict verdict-${verdict.state}`} role="status" title={verdict.remedy}>
        {verdict.text || "\u00a0"}
      </p>
      <button type="submit" className={`button button-${held.side}`} disabled={!order || busy || !mayTrade}>
        {busy ? "Sending" : buttonText(held, instrument)}
      </button>
    </form>
  );
}

function isPrice(text: string): boolean {
  return sign(decimal(text)) > 0;
}

function shown(value: Decimal | null, places: number): string {
  return value ? group(write(round(value, places))) : NONE;
}

function buttonText(held: Held, instrument: Instrument): string {
  const verb = held.side === "BUY" ? "Buy" : "Sell";
  const at = hasLimit(held.kind) && held.price ? ` at ${group(held.price)}` : "";
  return `${verb} ${held.quantity || ""} ${instrument.base}${at}`.replace(/\s+/g, " ");
}

function Line({ name, value, unit }: { name: string; value: string; unit: string }): React.ReactNode {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {value} <small className="dim">{unit}</small>
      </dd>
    </div>
  );
}

interface NumberFieldProps {
  readonly name: Field;
  readonly label: string;
  readonly value: string;
  readonly problem: string | undefined;
  readonly step: string;
  readonly disabled?: boolean;
  readonly onChange: (value: string) => void;
}

/** A number typed as text, so that it stays exact; arrows change it by one step. */
function NumberField({ name, label, value, problem, step, disabled = false, onChange }: NumberFieldProps): React.ReactNode {
  const id = useId();
  function nudge(direction: 1 | -1): void {
    const by = decimal(step);
    onChange(write(addSteps(floorTo(decimal(value), by), by, direction)));
  }
  return (
    <div className={problem ? "field field-wrong" : "field"}>
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        name={name}
        inputMode="decimal"
        autoComplete="off"
        maxLength={30}
        disabled={disabled}
        value={value}
        aria-invalid={problem ? true : undefined}
        aria-describedby={`${id}-problem`}
        onChange={(event) => onChange(event.target.value.replaceAll(",", ""))}
        onKeyDown={(event) => {
          if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
          event.preventDefault();
          nudge(event.key === "ArrowUp" ? 1 : -1);
        }}
      />
      <small id={`${id}-problem`} className="field-problem">
        {problem ?? ""}
      </small>
    </div>
  );
}

function addSteps(now: Decimal, by: Decimal, direction: 1 | -1): Decimal {
  const scale = Math.max(now.scale, by.scale);
  const next = round(now, scale).units + BigInt(direction) * round(by, scale).units;
  return { units: next > 0n ? next : 0n, scale };
}
