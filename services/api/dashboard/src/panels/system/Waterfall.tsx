/** One order's way as a waterfall, from the tick that caused it to the venue's answer. */
import { get } from "../../api/http.ts";
import type { Order, OrderEvent } from "../../api/types.ts";
import { micros, NONE, words } from "../../lib/format.ts";
import { clockMs } from "../../lib/time.ts";
import { useStore } from "../../store/create.ts";
import { preferences } from "../../store/preferences.ts";
import { traced } from "../../store/trace.ts";
import { useTopic } from "../../stream/use.ts";
import { Empty, Panel } from "../../ui/Panel.tsx";
import { usePoll } from "../poll.ts";
import { traceOf, type Hop, type Span } from "./trace.ts";

const AGAIN_MS = 2_000;
const CHOICES = 40;

type Told = Order & { readonly trace_id?: string; readonly events?: readonly (OrderEvent & { readonly hops?: readonly Hop[] })[] | null };

export function Waterfall(): React.ReactNode {
  const recent = usePoll("recent orders", AGAIN_MS, async (signal) => (await get<{ orders: Order[] }>("/orders", { limit: CHOICES }, signal)).orders);
  const working = useTopic("orders").data ?? [];
  const chosen = useStore(traced);
  const orders = recent.data ?? working;
  const id = chosen || orders[0]?.id || "";
  const options = orders.some((order) => order.id === id) || id === "" ? orders.map((order) => order.id) : [id, ...orders.map((order) => order.id)];
  const order = usePoll(`order ${id}`, AGAIN_MS, async (signal) =>
    id === "" ? null : get<Told>(`/orders/${encodeURIComponent(id)}`, {}, signal),
  );
  return (
    <Panel
      title="Trace of an order"
      problem={order.problem || recent.problem}
      tools={
        <>
          <select className="select-small select-wide" aria-label="Order" value={id} onChange={(event) => traced.set(event.target.value)}>
            {options.map((option) => (
              <option key={option}>{option}</option>
            ))}
          </select>
          {chosen !== "" && (
            <button type="button" className="button button-small" onClick={() => traced.set("")}>
              Newest
            </button>
          )}
        </>
      }
    >
      {order.data ? <Way of={order.data} /> : <Empty>{id === "" ? "No order yet." : "Asking for the order."}</Empty>}
    </Panel>
  );
}

function Way({ of }: { of: Told }): React.ReactNode {
  const { zone } = useStore(preferences);
  const events = of.events ?? [];
  const trace = traceOf(events);
  return (
    <div className="trace">
      <p>
        {words(of.side)} {of.quantity} {of.instrument_id}: {words(of.state)}
        {trace && (
          <>
            {" "}
            <span className="dim">in</span> {micros(trace.total)}
          </>
        )}
      </p>
      {of.trace_id && <p className="dim trace-id">trace {of.trace_id}</p>}
      {trace ? (
        <ol className="waterfall">
          {trace.spans.map((span, index) => (
            <Bar key={index} span={span} total={trace.total} />
          ))}
        </ol>
      ) : (
        <p className="dim">Its events carry no stamps.</p>
      )}
      <ol className="steps">
        {events.map((event) => (
          <li key={event.sequence}>
            <span>{event.received_at ? clockMs(event.received_at, zone) : NONE}</span>
            <span>{event.event}</span>
            <span className="dim">{event.sequence}</span>
          </li>
        ))}
      </ol>
    </div>
  );
}

function Bar({ span, total }: { span: Span; total: number }): React.ReactNode {
  const scale = total > 0 ? 1000 / total : 0;
  const width = Math.max(2, (span.to - span.from) * scale);
  return (
    <li>
      <span className={span.kind === "bus" ? "dim" : ""}>{span.name}</span>
      <svg viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">
        <rect className={`span-${span.kind}`} x={Math.min(998, span.from * scale)} y="1" width={width} height="8" />
      </svg>
      <span className="num">{micros(span.to - span.from)}</span>
    </li>
  );
}
