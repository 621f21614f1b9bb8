/** Every market at every venue side by side, with the best bid and ask over all of them. */
import type { Price } from "../../api/types.ts";
import { compact, market, NONE } from "../../lib/format.ts";
import { placesOf } from "../../lib/decimal.ts";
import { prefer } from "../../store/preferences.ts";
import { marketName, select, useInstruments } from "../../store/market.ts";
import { useTopic } from "../../stream/use.ts";
import { Empty, Panel } from "../../ui/Panel.tsx";
import { consolidate, type Consolidated } from "./best.ts";

export function Markets(): React.ReactNode {
  const { data, problem } = useTopic("prices");
  return (
    <Panel title="Consolidated book" problem={problem}>
      {(data ?? []).length === 0 ? (
        <Empty>{data ? "No market is heard." : "Asking the gateway."}</Empty>
      ) : (
        <div className="table-scroll" tabIndex={0} role="region" aria-label="Consolidated book">
          <table className="table">
            <thead>
              <tr>
                <th scope="col">Market</th>
                <th scope="col">Venue</th>
                <th scope="col" className="num minor">Size</th>
                <th scope="col" className="num">Bid</th>
                <th scope="col" className="num">Ask</th>
                <th scope="col" className="num minor">Size</th>
                <th scope="col" className="num minor">Spread</th>
              </tr>
            </thead>
            {consolidate(data ?? []).map((each) => (
              <Market key={each.instrument_id} of={each} />
            ))}
          </table>
        </div>
      )}
    </Panel>
  );
}

function Market({ of }: { of: Consolidated }): React.ReactNode {
  const instruments = useInstruments();
  const places = (price: Price | null): number => placesOf((price && instruments.get(marketName(price))?.tick_size) ?? "0.01");
  return (
    <tbody className="consolidated">
      {of.prices.length > 1 && (
        <tr className="consolidated-best">
          <th scope="row">{of.instrument_id}</th>
          <td>best of {of.prices.length}</td>
          <td className="num minor">{of.bid?.venue ?? NONE}</td>
          <td className="num">{market(of.bid?.bid, places(of.bid))}</td>
          <td className="num">{market(of.ask?.ask, places(of.ask))}</td>
          <td className="num minor">{of.ask?.venue ?? NONE}</td>
          <td className="num minor">{bps(of.spreadBps)}</td>
        </tr>
      )}
      {of.prices.map((price) => (
        <tr key={price.venue} className={price.stale ? "dim" : ""}>
          <th scope="row">{of.prices.length === 1 ? of.instrument_id : ""}</th>
          <td>
            <button
              type="button"
              className="link"
              onClick={() => {
                select(price);
                prefer({ view: "trade" });
              }}
            >
              {price.venue}
            </button>
            {price.stale && " stale"}
          </td>
          <td className="num minor">{compact(price.bid_size, 4)}</td>
          <td className={`num ${price === of.bid ? "up" : ""}`}>{market(price.bid, places(price))}</td>
          <td className={`num ${price === of.ask ? "down" : ""}`}>{market(price.ask, places(price))}</td>
          <td className="num minor">{compact(price.ask_size, 4)}</td>
          <td className="num minor">{bps(price.bid && price.ask ? ((price.ask - price.bid) / ((price.ask + price.bid) / 2)) * 10_000 : null)}</td>
        </tr>
      ))}
    </tbody>
  );
}

const bps = (value: number | null): string => (value === null ? NONE : `${value.toFixed(2)} bps`);
