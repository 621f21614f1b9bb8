/** What every chart of the page shares: colours of the theme, the zone of the user, its size. */
import { createChart, TickMarkType, type DeepPartial, type IChartApi, type Time, type TimeChartOptions } from "lightweight-charts";
import { useEffect, useState } from "react";
import { shade, token } from "../app/theme.ts";
import { clock, day, minute, moment, type Zone } from "../lib/time.ts";
import { useStore } from "../store/create.ts";
import { preferences } from "../store/preferences.ts";

const ms = (time: Time): number => (time as number) * 1000;

/** Options that follow the theme and the zone. */
export function lookOf(zone: Zone): DeepPartial<TimeChartOptions> {
  const line = { color: token("--grid") };
  return {
    layout: {
      background: { color: "transparent" },
      textColor: token("--text-dim"),
      fontFamily: token("--font"),
      fontSize: 11,
    },
    grid: { vertLines: line, horzLines: line },
    rightPriceScale: { borderColor: token("--line"), minimumWidth: 72 },
    timeScale: {
      borderColor: token("--line"),
      timeVisible: true,
      secondsVisible: true,
      rightOffset: 4,
      barSpacing: 8,
      tickMarkFormatter: (time: Time, type: TickMarkType) => {
        if (type === TickMarkType.TimeWithSeconds) return clock(ms(time), zone);
        if (type === TickMarkType.Time) return minute(ms(time), zone);
        const date = day(ms(time), zone);
        return type === TickMarkType.Year ? date.slice(0, 4) : date.slice(5);
      },
    },
    localization: { timeFormatter: (time: Time) => moment(ms(time), zone) },
    crosshair: {
      mode: 0,
      vertLine: { color: token("--text-dim"), labelBackgroundColor: token("--raised") },
      horzLine: { color: token("--text-dim"), labelBackgroundColor: token("--raised") },
    },
  };
}

/** A chart that fills `element` as long as the component lives; null until it is there. */
export function useChart(element: React.RefObject<HTMLDivElement | null>): IChartApi | null {
  const [chart, setChart] = useState<IChartApi | null>(null);
  const { zone } = useStore(preferences);
  const theme = useStore(shade);
  useEffect(() => {
    if (!element.current) return undefined;
    // Its logo would bring a style of its own, which the policy of the page forbids.
    const made = createChart(element.current, { autoSize: true, layout: { attributionLogo: false } });
    setChart(made);
    return () => {
      setChart(null);
      // After the other effects of the component have taken their own things off the chart: what is
      // changed on a removed chart asks for a frame that can no longer be drawn.
      queueMicrotask(() => made.remove());
    };
  }, [element]);
  useEffect(() => {
    chart?.applyOptions(lookOf(zone));
  }, [chart, zone, theme]);
  return chart;
}
