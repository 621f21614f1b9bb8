/** Profit and loss in one line: net, realised, unrealised, fees, funding, equity, drawdown, cash. */
import type { Portfolio } from "../../api/types.ts";
import { add, decimal, write } from "../../lib/decimal.ts";
import { money, NONE, signed, gain } from "../../lib/format.ts";
import { useTopic } from "../../stream/use.ts";
import { isMargined } from "../ticket/check.ts";

export function Profit(): React.ReactNode {
  const { data, problem } = useTopic("portfolio");
  const pays = useTopic("instruments").data?.some(isMargined) ?? false;
  const currency = data?.currency ?? "";
  return (
    <section className="panel profit" aria-label="Profit and loss">
      <dl>
        <Figure name="Net P&L" value={signed(data?.net_pnl)} tone={gain(data?.net_pnl)} unit={currency} big />
        <Figure name="Realized" value={signed(data?.realized_pnl)} tone={gain(data?.realized_pnl)} />
        <Figure name="Unrealized" value={signed(data?.unrealized_pnl)} tone={gain(data?.unrealized_pnl)} />
        <Figure name="Fees" value={money(data?.fees)} />
        {pays && (
          <Figure
            name="Funding"
            value={signed(data?.funding)}
            tone={gain(data?.funding)}
            title="what perpetuals paid (+) or cost (−) for being held; part of net P&L"
          />
        )}
        <Figure name="Equity" value={money(data?.equity)} unit={currency} big />
        <Figure
          name="Equity drawdown"
          value={money(data?.drawdown)}
          title={`of all that the accounts hold, opening coins included; at most ${money(data?.drawdown_max)}`}
        />
        <Figure name="Available" value={available(data)} title={`free ${currency} at all venues`} />
        <Figure name="Working" value={data ? String(data.working_orders) : NONE} />
        <Figure name="Fills" value={data ? String(data.fills) : NONE} />
      </dl>
      {problem !== "" && <p className="panel-problem" role="status">{problem}</p>}
    </section>
  );
}

interface FigureProps {
  readonly name: string;
  readonly value: string;
  readonly tone?: string;
  readonly unit?: string;
  readonly title?: string;
  readonly big?: boolean;
}

function Figure({ name, value, tone: colour = "", unit = "", title = "", big = false }: FigureProps): React.ReactNode {
  return (
    <div className={big ? "figure figure-big" : "figure"} title={title || undefined}>
      <dt>{name}</dt>
      <dd className={colour}>
        {value}
        {unit !== "" && <small> {unit}</small>}
      </dd>
    </div>
  );
}

function available(data: Portfolio | undefined): string {
  if (!data) return NONE;
  const cash = data.balances.filter((balance) => balance.asset === data.currency);
  if (cash.length === 0) return NONE;
  return money(write(cash.map((balance) => decimal(balance.free)).reduce(add)));
}
