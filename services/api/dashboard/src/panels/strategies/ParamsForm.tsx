/** The parameters of a strategy as fields: from the schema of its kind, checked as they are typed. */
import type { ReactNode } from "react";
import { problemOf, type Field } from "./schema.ts";

interface Props {
  readonly fields: readonly Field[];
  /** What is typed, by name; what is missing is shown as the default. */
  readonly typed: Readonly<Record<string, string>>;
  readonly disabled: boolean;
  readonly onType: (name: string, text: string) => void;
}

export function ParamsForm({ fields, typed, disabled, onType }: Props): ReactNode {
  return (
    <div className="params">
      {fields.map((field) => (
        <Param
          key={field.name}
          field={field}
          text={typed[field.name] ?? field.standard}
          disabled={disabled}
          onType={(text) => onType(field.name, text)}
        />
      ))}
    </div>
  );
}

interface ParamProps {
  readonly field: Field;
  readonly text: string;
  readonly disabled: boolean;
  readonly onType: (text: string) => void;
}

function Param({ field, text, disabled, onType }: ParamProps): ReactNode {
  const problem = problemOf(field, text);
  const hint = [field.standard === "" ? "" : `default ${field.standard}`, field.bounds].filter((each) => each !== "");
  return (
    <label className={`field ${problem === "" ? "" : "field-wrong"}`} title={field.help || undefined}>
      <span className="param-name">{field.name}</span>
      <Input field={field} text={text} disabled={disabled} onType={onType} />
      <small className={problem === "" ? "" : "down"}>{problem || hint.join(", ") || " "}</small>
    </label>
  );
}

function Input({ field, text, disabled, onType }: ParamProps): ReactNode {
  if (field.kind === "boolean" || field.kind === "choice") {
    const options = field.kind === "boolean" ? ["true", "false"] : field.choices;
    return (
      <select name={field.name} value={text} disabled={disabled} onChange={(event) => onType(event.target.value)}>
        {field.kind === "choice" && !field.choices.includes(text) && <option value={text}>{text}</option>}
        {options.map((option) => (
          <option key={option} value={option}>
            {field.kind === "boolean" ? (option === "true" ? "yes" : "no") : option}
          </option>
        ))}
      </select>
    );
  }
  return (
    <input
      name={field.name}
      value={text}
      disabled={disabled}
      autoComplete="off"
      maxLength={500}
      {...(field.kind === "text" ? {} : { inputMode: "decimal" as const })}
      onChange={(event) => onType(event.target.value)}
    />
  );
}
