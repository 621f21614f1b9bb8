/** One of a few: buttons side by side. */
import type { ReactNode } from "react";

interface Props<T extends string> {
  readonly label: string;
  readonly value: T;
  readonly options: readonly (readonly [value: T, text: string])[];
  readonly onChange: (value: T) => void;
  readonly className?: string;
}

export function Choice<T extends string>({ label, value, options, onChange, className = "" }: Props<T>): ReactNode {
  return (
    <div className={`choice ${className}`} role="group" aria-label={label}>
      {options.map(([option, text]) => (
        <button key={option} type="button" aria-pressed={option === value} onClick={() => onChange(option)}>
          {text}
        </button>
      ))}
    </div>
  );
}
