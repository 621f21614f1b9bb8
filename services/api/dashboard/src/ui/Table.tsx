/** A dense table: numbers on the right with figures of one width, a head that stays. */
import type { ReactNode } from "react";
import { Empty } from "./Panel.tsx";

export interface Column<T> {
  readonly key: string;
  readonly head: ReactNode;
  readonly cell: (row: T) => ReactNode;
  /** Numbers stand on the right. */
  readonly numeric?: boolean;
  /** Left out on pages narrower than a tablet. */
  readonly minor?: boolean;
}

interface Props<T> {
  readonly label: string;
  readonly columns: readonly Column<T>[];
  readonly rows: readonly T[];
  readonly rowKey: (row: T) => string;
  readonly rowClass?: (row: T) => string;
  readonly onRow?: (row: T) => void;
  readonly empty: ReactNode;
}

export function Table<T>({ label, columns, rows, rowKey, rowClass, onRow, empty }: Props<T>): ReactNode {
  if (rows.length === 0) return <Empty>{empty}</Empty>;
  return (
    <div className="table-scroll" tabIndex={0} role="region" aria-label={label}>
      <table className="table">
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.key} scope="col" className={classOf(column)}>
                {column.head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr
              key={rowKey(row)}
              className={`${rowClass?.(row) ?? ""} ${onRow ? "row-active" : ""}`}
              {...(onRow ? { onClick: () => onRow(row) } : {})}
            >
              {columns.map((column) => (
                <td key={column.key} className={classOf(column)}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function classOf<T>(column: Column<T>): string {
  return `${column.numeric ? "num" : ""} ${column.minor ? "minor" : ""}`.trim();
}
