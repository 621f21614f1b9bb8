/** The curve of equity, net P&L or drawdown, over a range, of the account or of one strategy. */
import { BaselineSeries, type ISeriesApi } from "lightweight-charts";
import { useEffect, useRef, useState } from "react";
import { explain } from "../../api/http.ts";
import type { Curve, Series } from "../../api/types.ts";
import { shade, token } from "../../app/theme.ts";
import { Canvas } from "../../charts/Canvas.tsx";
import { useChart } from "../../charts/frame.ts";
import { money, signed, gain } from "../../lib/format.ts";
import { moment } from "../../lib/time.ts";
import { useStore } from "../../store/create.ts";
import { prefer, preferences } from "../../store/preferences.ts";
import { useTopic } from "../../stream/use.ts";
import { Choice } from "../../ui/Choice.tsx";
import { Panel } from "../../ui/Panel.tsx";
import { curveOf, dots, RANGES, series, type Figure } from "./curve.ts";

const FIGURES: readonly (readonly [Figure, string])[] = [
  ["equity", "Equity"],
  ["net_pnl", "P&L"],
  ["drawdown", "Drawdown"],
];
const POLL_MS = 3_000;

export function Equity(): React.ReactNode {
  const { range: kept, zone } = useStore(preferences);
  const range = RANGES.find(([each]) => each === kept)?.[0] ?? "session";
  const [figure, setFigure] = useState<Figure>("net_pnl");
  const [strategy, setStrategy] = useState("");
  const strategies = useTopic("portfolio").data?.strategies ?? [];
  const [found, setFound] = useState<Series | null>(null);
  const [problem, setProblem] = useState("");
  const [pointed, setPointed] = useState<Pointed | null>(null);
  const byStrategy = strategy !== "";

  useEffect(() => {
    const leave = new AbortController();
    let timer = 0;
    const ask = async (): Promise<void> => {
      try {
        setFound(await series(range, byStrategy, zone, leave.signal));
        setProblem("");
      } catch (error) {
        if (leave.signal.aborted) return;
        setProblem(explain(error)[0]);
      }
      if (!leave.signal.aborted) timer = window.setTimeout(() => void ask(), POLL_MS);
    };
    setFound(null);
    void ask();
    return () => {
      leave.abort();
      clearTimeout(timer);
    };
  }, [range, byStrategy, zone]);

  // Of one strategy the books know its P&L, not its share of the account.
  const options = byStrategy ? FIGURES.slice(1) : FIGURES;
  const chosen = byStrategy && figure === "equity" ? "net_pnl" : figure;
  const curve = curveOf(found, strategy);
  return (
    <Panel
      title="Performance"
      className="equity"
      titled={false}
      tools={
        <>
          <Choice label="Figure" value={chosen} options={options} onChange={setFigure} />
          <select
            className="select-small"
            aria-label="Strategy"
            value={strategy}
            onChange={(event) => setStrategy(event.target.value)}
          >
            <option value="">All strategies</option>
            {strategies.map((each) => (
              <option key={each.strategy} value={each.strategy}>
                {each.strategy}
              </option>
            ))}
          </select>
          <Choice
            label="Range"
            className="choice-last"
            value={range}
            options={RANGES}
            onChange={(value) => prefer({ range: value })}
          />
        </>
      }
    >
      <div className="chart-body">
        <p className="legend">
          {problem !== "" && (
            <span className="panel-problem" role="status">
              {problem}
            </span>
          )}
          {curve && (
            <>
              <span>
                P&amp;L <b className={gain(curve.change.net_pnl)}>{signed(curve.change.net_pnl)}</b>
              </span>
              <span>
                Realized <b>{signed(curve.change.realized_pnl)}</b>
              </span>
              <span>
                Fees <b>{money(curve.change.fees)}</b>
              </span>
              {pointed ? (
                <span data-testid="pointed">
                  {moment(pointed.at, zone)} <b>{chosen === "equity" ? money(pointed.value) : signed(pointed.value)}</b>
                </span>
              ) : (
                found?.since && <span>since {moment(found.since, zone)}</span>
              )}
            </>
          )}
          {found && (curve?.points.length ?? 0) === 0 && <span>Nothing recorded in this range yet.</span>}
        </p>
        <Line key={`${range}/${strategy}/${chosen}`} curve={curve} figure={chosen} onPoint={setPointed} />
      </div>
    </Panel>
  );
}

/** What is under the crosshair. */
interface Pointed {
  /** In ms since 1970. */
  readonly at: number;
  readonly value: string;
}

interface LineProps {
  readonly curve: Curve | undefined;
  readonly figure: Figure;
  readonly onPoint: (pointed: Pointed | null) => void;
}

function Line({ curve, figure, onPoint }: LineProps): React.ReactNode {
  const element = useRef<HTMLDivElement>(null);
  const chart = useChart(element);
  const theme = useStore(shade);
  const [line, setLine] = useState<ISeriesApi<"Baseline"> | null>(null);
  const isFirst = useRef(true);

  useEffect(() => {
    if (!chart) return undefined;
    const made = chart.addSeries(BaselineSeries, {
      lineWidth: 2,
      priceFormat: { type: "price", precision: 2, minMove: 0.01 },
      priceLineVisible: false,
    });
    chart.subscribeCrosshairMove(({ time, seriesData }) => {
      const dot = seriesData.get(made);
      const isDot = typeof time === "number" && dot !== undefined && "value" in dot;
      onPoint(isDot ? { at: time * 1000, value: dot.value.toFixed(2) } : null);
    });
    setLine(made);
    return () => {
      setLine(null);
      onPoint(null);
    };
  }, [chart, onPoint]);

  const base = figure === "equity" ? Number(curve?.points[0]?.equity ?? 0) : 0;
  useEffect(() => {
    const [good, bad] = figure === "drawdown" ? (["down", "down"] as const) : (["up", "down"] as const);
    // Not "transparent", which is black on the way there.
    const clear = (colour: string): string => `${token(`--${colour}-faint`)}00`;
    line?.applyOptions({
      baseValue: { type: "price", price: base },
      topLineColor: token(`--${good}`),
      topFillColor1: token(`--${good}-faint`),
      topFillColor2: clear(good),
      bottomLineColor: token(`--${bad}`),
      bottomFillColor1: clear(bad),
      bottomFillColor2: token(`--${bad}-faint`),
    });
  }, [line, base, figure, theme]);

  useEffect(() => {
    if (!line || !curve) return;
    line.setData([...dots(curve, figure)]);
    if (isFirst.current && curve.points.length > 0) {
      chart?.timeScale().fitContent();
      isFirst.current = false;
    }
  }, [chart, line, curve, figure]);

  return <Canvas label="Performance over time" element={element} chart={chart} />;
}
