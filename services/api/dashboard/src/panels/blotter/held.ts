/** Which positions are held. */
import type { Portfolio, Position } from "../../api/types.ts";
import { decimal, sign } from "../../lib/decimal.ts";

/** Positions that are not flat, in the order of the API. */
export function held(portfolio: Portfolio | undefined): readonly Position[] {
  return (portfolio?.positions ?? []).filter((position) => sign(decimal(position.quantity)) !== 0);
}
