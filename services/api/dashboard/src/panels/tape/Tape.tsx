/** Time and sales: every trade of the market, newest first, coloured by who was in a hurry. */
import { memo } from "react";
import type { Trade } from "../../api/types.ts";
import { placesOf } from "../../lib/decimal.ts";
import { market } from "../../lib/format.ts";
import { clock, type Zone } from "../../lib/time.ts";
import { useStore } from "../../store/create.ts";
import { marketName, useInstrument } from "../../store/market.ts";
import { preferences } from "../../store/preferences.ts";
import { useTopic } from "../../stream/use.ts";
import { Empty, Panel } from "../../ui/Panel.tsx";

const SHOWN = 60;

export function Tape(): React.ReactNode {
  const instrument = useInstrument();
  const { zone } = useStore(preferences);
  const { data, problem } = useTopic(instrument ? `trades:${marketName(instrument)}` : null);
  const pricePlaces = placesOf(instrument?.tick_size ?? "0.01");
  const sizePlaces = placesOf(instrument?.lot_size ?? "0.001");
  return (
    <Panel title="Trades" problem={problem} className="tape" readOnly>
      {data && data.length === 0 && <Empty>No trade yet.</Empty>}
      <ol className="tape-list" aria-label={`Trades of ${instrument?.instrument_id ?? ""}`}>
        {(data ?? []).slice(0, SHOWN).map((trade, index) => (
          <Row
            key={trade.id ?? `${trade.at}/${index}`}
            trade={trade}
            zone={zone}
            pricePlaces={pricePlaces}
            sizePlaces={sizePlaces}
          />
        ))}
      </ol>
    </Panel>
  );
}

interface RowProps {
  readonly trade: Trade;
  readonly zone: Zone;
  readonly pricePlaces: number;
  readonly sizePlaces: number;
}

const Row = memo(function Row({ trade, zone, pricePlaces, sizePlaces }: RowProps): React.ReactNode {
  return (
    <li>
      <span className="dim">{clock(trade.at, zone)}</span>
      <span className={trade.aggressor === "BUY" ? "up" : trade.aggressor === "SELL" ? "down" : ""}>
        {market(trade.price, pricePlaces)}
      </span>
      <span>{market(trade.size, sizePlaces)}</span>
    </li>
  );
});
