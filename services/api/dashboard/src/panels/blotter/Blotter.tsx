/** What is ours: working orders, positions, fills, all orders and balances, one behind the other. */
import { useState } from "react";
import { useTopic } from "../../stream/use.ts";
import { Choice } from "../../ui/Choice.tsx";
import { Empty, Panel } from "../../ui/Panel.tsx";
import { Balances } from "./Balances.tsx";
import { Fills } from "./Fills.tsx";
import { History } from "./History.tsx";
import { Orders, OrdersTools } from "./Orders.tsx";
import { Positions } from "./Positions.tsx";
import { held } from "./held.ts";

type Tab = "orders" | "positions" | "fills" | "history" | "balances";

/** Not the same as none. */
const UNKNOWN = "Not known yet.";

export function Blotter(): React.ReactNode {
  const [tab, setTab] = useState<Tab>("orders");
  const orders = useTopic("orders");
  const portfolio = useTopic("portfolio");
  const working = (orders.data ?? []).filter((order) => order.working);
  const positions = held(portfolio.data);
  const options: readonly (readonly [Tab, string])[] = [
    ["orders", `Orders ${working.length}`],
    ["positions", `Positions ${positions.length}`],
    ["fills", "Fills"],
    ["history", "History"],
    ["balances", "Balances"],
  ];
  return (
    <Panel
      title="Blotter"
      className="blotter"
      titled={false}
      tools={
        <>
          <Choice label="Blotter" value={tab} options={options} onChange={setTab} className="choice-tabs" />
          {/* Between what stands left and right, so that neither moves. */}
          <span className="panel-problem" role="status">
            {tab === "orders" ? orders.problem : portfolio.problem}
          </span>
          {tab === "orders" && <OrdersTools orders={working} />}
        </>
      }
    >
      {tab === "orders" && (orders.data ? <Orders orders={working} /> : <Empty>{UNKNOWN}</Empty>)}
      {tab === "positions" && (portfolio.data ? <Positions positions={positions} /> : <Empty>{UNKNOWN}</Empty>)}
      {tab === "fills" && <Fills />}
      {tab === "history" && <History />}
      {tab === "balances" && <Balances balances={portfolio.data?.balances ?? []} />}
    </Panel>
  );
}
