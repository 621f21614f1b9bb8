/** Every instrument with its price; a click makes it the one that the other panels are about. */
import { memo } from "react";
import type { Instrument, Price } from "../../api/types.ts";
import { placesOf } from "../../lib/decimal.ts";
import { market, NONE } from "../../lib/format.ts";
import { marketName, select, useInstrument, useInstruments } from "../../store/market.ts";
import { useTopic } from "../../stream/use.ts";
import { Empty, Panel } from "../../ui/Panel.tsx";

export function Watch(): React.ReactNode {
  const { data: prices, problem } = useTopic("prices");
  const instruments = useInstruments();
  const chosen = useInstrument();
  const several = new Set([...instruments.values()].map((each) => each.venue)).size > 1;
  const name = chosen ? marketName(chosen) : "";
  return (
    <Panel title="Markets" problem={problem} className="watch">
      {prices && prices.length === 0 && <Empty>No instrument yet: the feed is starting.</Empty>}
      <ul className="watch-list">
        {(prices ?? []).map((price) => (
          <Row
            key={marketName(price)}
            price={price}
            instrument={instruments.get(marketName(price))}
            chosen={marketName(price) === name}
            showVenue={several}
          />
        ))}
      </ul>
    </Panel>
  );
}

interface RowProps {
  readonly price: Price;
  readonly instrument: Instrument | undefined;
  readonly chosen: boolean;
  readonly showVenue: boolean;
}

const Row = memo(function Row({ price, instrument, chosen, showVenue }: RowProps): React.ReactNode {
  const places = placesOf(instrument?.tick_size ?? "0.01");
  return (
    <li>
      <button type="button" className="watch-row" aria-pressed={chosen} onClick={() => select(price)}>
        <span className="watch-line">
          <span className="watch-name">
            {price.instrument_id}
            {showVenue && <small> {price.venue}</small>}
          </span>
          <span className={price.stale ? "dim" : ""}>{market(price.last_price ?? price.mid, places)}</span>
        </span>
        <small className="watch-line dim">
          <span>{price.stale ? "stale" : spread(price)}</span>
          <span>
            {market(price.bid, places)} / {market(price.ask, places)}
          </span>
        </small>
      </button>
    </li>
  );
});

function spread({ bid, ask, mid }: Price): string {
  return bid === null || ask === null || !mid ? NONE : `${(((ask - bid) / mid) * 10_000).toFixed(1)} bps`;
}
