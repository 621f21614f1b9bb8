/** The place that a chart is drawn in, which keys move like a mouse does. */
import type { IChartApi } from "lightweight-charts";
import type { ReactNode, RefObject } from "react";
import { press } from "./keys.ts";

interface Props {
  readonly label: string;
  readonly element: RefObject<HTMLDivElement | null>;
  readonly chart: IChartApi | null;
}

export function Canvas({ label, element, chart }: Props): ReactNode {
  return (
    <div
      className="chart-canvas"
      ref={element}
      role="application"
      tabIndex={0}
      aria-label={`${label}. Arrow keys pan, plus and minus zoom, Home shows all.`}
      onKeyDown={(event) => {
        if (chart && !event.ctrlKey && !event.metaKey && !event.altKey && press(chart, event.key)) event.preventDefault();
      }}
    />
  );
}
