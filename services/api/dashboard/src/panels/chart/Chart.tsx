/** Candles and volume of the chosen market, with our fills and working orders drawn in. */
import { CandlestickSeries, createSeriesMarkers, HistogramSeries, LineStyle } from "lightweight-charts";
import type { IPriceLine, ISeriesApi, ISeriesMarkersPluginApi, Time } from "lightweight-charts";
import { useEffect, useMemo, useRef, useState } from "react";
import type { Candle, Fill, Instrument, Order, Side } from "../../api/types.ts";
import { shade, token } from "../../app/theme.ts";
import { Canvas } from "../../charts/Canvas.tsx";
import { useChart } from "../../charts/frame.ts";
import { seconds } from "../../charts/seconds.ts";
import { decimal, placesOf, toNumber } from "../../lib/decimal.ts";
import { compact, market } from "../../lib/format.ts";
import { useStore } from "../../store/create.ts";
import { marketName, useInstrument } from "../../store/market.ts";
import { prefer, preferences } from "../../store/preferences.ts";
import { useTopic } from "../../stream/use.ts";
import { Choice } from "../../ui/Choice.tsx";
import { Empty, Panel } from "../../ui/Panel.tsx";
import { furtherOf } from "./further.ts";
import { marksOf, tradedIn } from "./marks.ts";

const INTERVALS = ["10s", "1m", "5m", "15m", "1h", "4h", "1d"] as const;
const NONE: readonly never[] = [];

export function Chart(): React.ReactNode {
  const instrument = useInstrument();
  const { interval } = useStore(preferences);
  const name = instrument ? marketName(instrument) : "";
  const { data, problem } = useTopic(instrument ? `candles:${name}:${interval}` : null);
  const orders = useTopic("orders").data ?? NONE;
  const fills = useTopic("fills").data ?? NONE;
  const working = useMemo(() => orders.filter((order) => order.working && marketName(order) === name), [orders, name]);
  const ours = useMemo(() => fills.filter((fill) => marketName(fill) === name), [fills, name]);
  return (
    <Panel
      title={instrument?.instrument_id ?? "Chart"}
      className="chart"
      problem={problem}
      tools={
        <Choice
          label="Interval"
          value={interval}
          options={INTERVALS.map((each) => [each, each] as const)}
          onChange={(value) => prefer({ interval: value })}
        />
      }
    >
      {!instrument && <Empty>No market yet.</Empty>}
      {instrument && (
        <Candles
          key={`${name}:${interval}`}
          instrument={instrument}
          candles={data ?? NONE}
          orders={working}
          fills={ours}
        />
      )}
    </Panel>
  );
}

interface Props {
  readonly instrument: Instrument;
  readonly candles: readonly Candle[];
  readonly orders: readonly Order[];
  readonly fills: readonly Fill[];
}

interface Series {
  readonly candles: ISeriesApi<"Candlestick">;
  readonly volume: ISeriesApi<"Histogram">;
  readonly marks: ISeriesMarkersPluginApi<Time>;
}

function Candles({ instrument, candles, orders, fills }: Props): React.ReactNode {
  const element = useRef<HTMLDivElement>(null);
  const chart = useChart(element);
  const theme = useStore(shade);
  const [series, setSeries] = useState<Series | null>(null);
  const [pointed, setPointed] = useState<number | null>(null);
  const places = placesOf(instrument.tick_size);

  useEffect(() => {
    if (!chart) return undefined;
    const minMove = toNumber(decimal(instrument.tick_size));
    const made = chart.addSeries(CandlestickSeries, {
      priceFormat: { type: "price", precision: places, minMove },
      borderVisible: false,
    });
    const volume = chart.addSeries(HistogramSeries, {
      priceScaleId: "volume",
      priceFormat: { type: "volume" },
      lastValueVisible: false,
      priceLineVisible: false,
    });
    volume.priceScale().applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
    made.priceScale().applyOptions({ scaleMargins: { top: 0.06, bottom: 0.2 } });
    chart.subscribeCrosshairMove((at) => setPointed(typeof at.time === "number" ? at.time : null));
    setSeries({ candles: made, volume, marks: createSeriesMarkers(made, []) });
    return () => setSeries(null);
  }, [chart, instrument.tick_size, places]);

  useEffect(() => {
    const up = token("--up");
    const down = token("--down");
    series?.candles.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
  }, [series, theme]);

  useCandles(series, candles, theme);
  useWorking(series, orders, theme);
  useEffect(() => {
    series?.marks.setMarkers(marksOf(fills, candles, { BUY: token("--up"), SELL: token("--down") }));
  }, [series, fills, candles, theme]);

  const traded = useMemo(() => tradedIn(fills, candles), [fills, candles]);
  const shownCandle = (pointed === null ? undefined : candles.find((each) => seconds(each.opened_at) === pointed)) ?? candles.at(-1);
  return (
    <div className="chart-body">
      <Legend candle={shownCandle} places={places} traded={shownCandle && traded.get(seconds(shownCandle.opened_at))} />
      <Canvas label={`Candles of ${instrument.instrument_id}`} element={element} chart={chart} />
    </div>
  );
}

/** Candles into the chart: all of them at first, then only what changed at the end. */
function useCandles(series: Series | null, candles: readonly Candle[], theme: string): void {
  const drawn = useRef<{ series: Series | null; theme: string; candles: readonly Candle[] }>({
    series: null,
    theme: "",
    candles: NONE,
  });
  useEffect(() => {
    if (!series) return;
    const before = drawn.current;
    drawn.current = { series, theme, candles };
    const isSame = before.series === series && before.theme === theme;
    const further = isSame ? furtherOf(before.candles, candles) : null;
    if (!further) {
      series.candles.setData(candles.map(bar));
      series.volume.setData(candles.map(volumeBar));
      return;
    }
    for (const candle of further) {
      series.candles.update(bar(candle));
      series.volume.update(volumeBar(candle));
    }
  }, [series, candles, theme]);
}

/** A line at the price of each working order. */
function useWorking(series: Series | null, orders: readonly Order[], theme: string): void {
  const key = orders.map((order) => `${order.id}/${order.price}/${order.trigger_price}/${order.leaves_quantity}`).join();
  useEffect(() => {
    if (!series) return undefined;
    const lines: IPriceLine[] = [];
    for (const order of orders) {
      const at = order.trigger_price ?? order.price;
      if (at === null) continue;
      lines.push(
        series.candles.createPriceLine({
          price: toNumber(decimal(at)),
          color: token(order.side === "BUY" ? "--up" : "--down"),
          lineWidth: 1,
          lineStyle: order.trigger_price === null ? LineStyle.Dashed : LineStyle.Dotted,
          axisLabelVisible: true,
          title: `${order.side === "BUY" ? "Buy" : "Sell"} ${order.leaves_quantity}`,
        }),
      );
    }
    return () => {
      for (const line of lines) series.candles.removePriceLine(line);
    };
    // What the lines show is in `key`.
  }, [series, key, theme]);
}

function bar(candle: Candle): Parameters<ISeriesApi<"Candlestick">["update"]>[0] {
  const time = seconds(candle.opened_at);
  const { open, high, low, close } = candle;
  if (open === null || high === null || low === null || close === null) return { time };
  return { time, open, high, low, close };
}

function volumeBar(candle: Candle): Parameters<ISeriesApi<"Histogram">["update"]>[0] {
  const isUp = (candle.close ?? 0) >= (candle.open ?? 0);
  return { time: seconds(candle.opened_at), value: candle.volume, color: token(isUp ? "--up-faint" : "--down-faint") };
}

interface LegendProps {
  readonly candle: Candle | undefined;
  readonly places: number;
  /** What of it was ours. */
  readonly traded: Readonly<Record<Side, string>> | undefined;
}

function Legend({ candle, places, traded }: LegendProps): React.ReactNode {
  const colour = candle && (candle.close ?? 0) >= (candle.open ?? 0) ? "up" : "down";
  const figures: readonly (readonly [string, string])[] = [
    ["O", market(candle?.open, places)],
    ["H", market(candle?.high, places)],
    ["L", market(candle?.low, places)],
    ["C", market(candle?.close, places)],
    ["Vol", compact(candle?.volume)],
  ];
  return (
    <p className="legend">
      {figures.map(([name, value]) => (
        <span key={name}>
          {name} <b className={name.length === 1 ? colour : ""}>{value}</b>
        </span>
      ))}
      {traded && traded.BUY !== "0" && <span className="up">bought {traded.BUY}</span>}
      {traded && traded.SELL !== "0" && <span className="down">sold {traded.SELL}</span>}
    </p>
  );
}
