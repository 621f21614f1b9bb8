import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const css = readFileSync(new URL("./tokens.css", import.meta.url), "utf8");

function tokens(shade: string): Map<string, string> {
  const block = css.split(`data-theme="${shade}"`)[1]?.split("}")[0] ?? "";
  return new Map([...block.matchAll(/--([\w-]+):\s*(#[0-9a-f]{6})/g)].map(([, name = "", value = ""]) => [name, value]));
}

/** WCAG 2 relative luminance. */
function luminance(hex: string): number {
  const parts = [1, 3, 5].map((at) => {
    const part = parseInt(hex.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * (parts[0] ?? 0) + 0.7152 * (parts[1] ?? 0) + 0.0722 * (parts[2] ?? 0);
}

function contrast(a: string, b: string): number {
  const [light = 0, dark = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (light + 0.05) / (dark + 0.05);
}

const TEXTS = ["text", "text-dim", "up", "down", "accent", "warn"];
const GROUNDS = ["ground", "panel", "raised"];

describe.each(["dark", "light"])("contrast in %s", (shade) => {
  const known = tokens(shade);
  const of = (name: string): string => known.get(name) ?? "";

  it.each(TEXTS.flatMap((text) => GROUNDS.map((ground) => [text, ground] as const)))(
    "%s on %s is AA",
    (text, ground) => {
      expect(contrast(of(text), of(ground))).toBeGreaterThanOrEqual(4.5);
    },
  );

  it.each(["buy-ground", "sell-ground", "accent-ground"])("white on %s is AA", (ground) => {
    expect(contrast(of("on-ground"), of(ground))).toBeGreaterThanOrEqual(4.5);
  });
});
