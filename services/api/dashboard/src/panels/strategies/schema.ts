/** The parameters of a strategy, from their JSON schema: what a form asks, and what it makes of answers. */
export type FieldKind = "boolean" | "integer" | "number" | "decimal" | "text" | "choice";

export interface Field {
  readonly name: string;
  readonly kind: FieldKind;
  /** As text, the way it is typed; "" where there is none. */
  readonly standard: string;
  readonly choices: readonly string[];
  readonly required: boolean;
  /** The bounds as people read them: `≥ 0, ≤ 1000`. */
  readonly bounds: string;
  readonly minimum: number | null;
  readonly maximum: number | null;
  readonly above: number | null;
  readonly help: string;
}

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The fields of the object that `schema` describes, in its order; none where it describes none. */
export function fieldsOf(schema: unknown, doc = ""): readonly Field[] {
  const root = isObject(schema) ? schema : {};
  const whole = follow(root, root);
  const properties = isObject(whole["properties"]) ? whole["properties"] : {};
  const required = Array.isArray(whole["required"]) ? whole["required"] : [];
  const help = helpOf(doc || String(whole["description"] ?? ""));
  return Object.entries(properties).map(([name, property]) =>
    fieldOf(name, follow(root, isObject(property) ? property : {}), required.includes(name), help.get(name) ?? ""),
  );
}

/** `$ref` into the schema's own definitions, as often as there is one. */
function follow(root: Json, node: Json): Json {
  let at = node;
  for (let depth = 0; depth < 8 && typeof at["$ref"] === "string"; depth++) {
    const name = at["$ref"].replace(/^#\/\$defs\//, "");
    const definitions = isObject(root["$defs"]) ? root["$defs"] : {};
    const next = definitions[name];
    if (!isObject(next)) return {};
    at = next;
  }
  return at;
}

function fieldOf(name: string, property: Json, required: boolean, help: string): Field {
  const number = (key: string): number | null => (typeof property[key] === "number" ? property[key] : null);
  const minimum = number("minimum");
  const maximum = number("maximum");
  const above = number("exclusiveMinimum");
  const bounds = [
    minimum === null ? "" : `≥ ${minimum}`,
    above === null ? "" : `> ${above}`,
    maximum === null ? "" : `≤ ${maximum}`,
  ];
  return {
    name,
    kind: kindOf(property),
    standard: textOf(property["default"]),
    choices: Array.isArray(property["enum"]) ? property["enum"].map(String) : [],
    required,
    bounds: bounds.filter((bound) => bound !== "").join(", "),
    minimum,
    maximum,
    above,
    help,
  };
}

function kindOf(property: Json): FieldKind {
  if (Array.isArray(property["enum"])) return "choice";
  switch (property["type"]) {
    case "boolean":
      return "boolean";
    case "integer":
      return "integer";
    case "number":
      return "number";
    case "string":
      return property["format"] === "decimal" ? "decimal" : "text";
    default:
      return "text";
  }
}

/** A value as it is typed into a field. */
export function textOf(value: unknown): string {
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** The sentences of a doc string by the parameter that they begin with: `` `profit_bps` (basis points): … ``. */
function helpOf(doc: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const text = doc.replace(/\s+/g, " ");
  const starts = [...text.matchAll(/`([a-z_][a-z0-9_]*)`(?: \(([^)]*)\))?:/g)];
  starts.forEach((match, index) => {
    const end = starts[index + 1]?.index ?? text.length;
    const says = text.slice(match.index + match[0].length, end).trim();
    found.set(match[1] ?? "", match[2] ? `${match[2]}: ${says}` : says);
  });
  return found;
}

/** What is wrong with `text` in `field`; "" when nothing is. An empty field stands for the default. */
export function problemOf(field: Field, text: string): string {
  const given = text.trim();
  if (given === "") return field.required ? "is needed" : "";
  if (field.kind === "integer" && !/^[+-]?\d+$/.test(given)) return "must be a whole number";
  if (field.kind === "number" || field.kind === "decimal" || field.kind === "integer") {
    const value = Number(given);
    if (!Number.isFinite(value)) return "must be a number";
    if (field.minimum !== null && value < field.minimum) return `must be at least ${field.minimum}`;
    if (field.above !== null && value <= field.above) return `must be above ${field.above}`;
    if (field.maximum !== null && value > field.maximum) return `must be at most ${field.maximum}`;
  }
  return "";
}

/** `text` as the gateway takes it; null is the default again. An exact amount stays text. */
export function valueOf(field: Field, text: string): unknown {
  const given = text.trim();
  if (given === "") return null;
  switch (field.kind) {
    case "boolean":
      return given === "true";
    case "integer":
    case "number":
      return Number(given);
    default:
      return given;
  }
}

/** What differs between `typed` and what is in force, ready to be sent; by name. */
export function changesOf(
  fields: readonly Field[],
  inForce: Readonly<Record<string, unknown>>,
  typed: Readonly<Record<string, string>>,
): Readonly<Record<string, unknown>> {
  const changes: Record<string, unknown> = {};
  for (const field of fields) {
    const before = textOf(inForce[field.name] ?? field.standard);
    const after = typed[field.name] ?? before;
    if (after.trim() !== before) changes[field.name] = valueOf(field, after);
  }
  return changes;
}
