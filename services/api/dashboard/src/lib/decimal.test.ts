import { describe, expect, it } from "vitest";
import * as d from "./decimal.ts";

const number = (text: string): d.Decimal => d.decimal(text);

describe("exact decimals", () => {
  it("keeps what no float could", () => {
    const sum = d.add(number("0.1"), number("0.2"));
    expect(d.plain(sum)).toBe("0.3");
    expect(d.plain(d.multiply(number("123456789.123456789"), number("1000000000000"))))
      .toBe("123456789123456789000");
  });

  it("reads what the API writes, and refuses the rest", () => {
    expect(d.plain(number("-0.4766976216500000"))).toBe("-0.47669762165");
    expect(d.plain(number("1.5e-3"))).toBe("0.0015");
    for (const wrong of ["", ".", "1,000", "abc", "1.2.3", "--1", "NaN", "1e9999"]) {
      expect(d.parse(wrong), wrong).toBeNull();
    }
  });

  it("rounds a half away from zero", () => {
    expect(d.write(d.round(number("1.005"), 2))).toBe("1.01");
    expect(d.write(d.round(number("-1.005"), 2))).toBe("-1.01");
    expect(d.write(d.round(number("7"), 2))).toBe("7.00");
  });

  it("cuts down to lots, never up", () => {
    expect(d.plain(d.floorTo(number("0.00166669"), number("0.00001")))).toBe("0.00166");
    expect(d.plain(d.floorTo(number("9.99"), number("0")))).toBe("9.99");
    expect(d.isMultiple(number("60000.01"), number("0.01"))).toBe(true);
    expect(d.isMultiple(number("60000.015"), number("0.010"))).toBe(false);
  });

  it("knows the decimals of a step", () => {
    expect(["0.00001", "0.010", "1", "10", "0.5"].map(d.placesOf)).toEqual([5, 2, 0, 0, 1]);
  });

  it("divides without a float, and by zero gives zero", () => {
    expect(d.plain(d.divide(number("100"), number("3"), 4))).toBe("33.3333");
    expect(d.sign(d.divide(number("1"), number("0"), 4))).toBe(0);
  });
});
